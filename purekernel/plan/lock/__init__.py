"""Read and write lock files, and resolve inputs from them."""
