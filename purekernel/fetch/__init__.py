"""Download files from mirrors and web servers, and verify them."""
