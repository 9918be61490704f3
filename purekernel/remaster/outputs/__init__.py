"""The files that an image is written as."""
