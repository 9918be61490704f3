"""Read and write files and folders of the host."""
