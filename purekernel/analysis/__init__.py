"""Look into images: open, list and print what is inside any file, and check what will run."""
