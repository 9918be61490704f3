"""Deflate streams: encoders behind one small interface."""
