"""Implement the 'purekernel tool' commands, as functions."""
