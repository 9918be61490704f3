"""Read and write the files of the host."""
