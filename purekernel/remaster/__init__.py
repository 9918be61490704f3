"""Compose images and bundles, and write them."""
