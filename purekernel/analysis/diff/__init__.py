"""Compare two images in depth: files, archives in archives, boot menus and partitions."""
