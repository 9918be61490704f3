"""Do the work of each 'purekernel tool', as functions."""
