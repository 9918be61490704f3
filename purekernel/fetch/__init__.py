"""Fetch bytes from mirrors and the web, and verify them."""
