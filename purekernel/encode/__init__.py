"""Encode what an image is made of: segments, encoders, their cache, other machines."""
