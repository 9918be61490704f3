"""Compress the parts of an image: encoders, segments, the encode cache and clusters."""
