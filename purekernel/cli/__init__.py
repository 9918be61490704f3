"""Implement the command line: one module per command, and no rules about images in any."""

from purekernel.cli.app import main

__all__ = ["main"]
