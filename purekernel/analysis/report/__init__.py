"""Make a page about an image: what takes space in it, where it comes from, what changed."""
