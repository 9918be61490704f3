"""Read and write lock files, and plan by them."""
