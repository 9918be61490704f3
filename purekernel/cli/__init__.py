"""The command line: one file a command, and no rule about images in any of them."""

from purekernel.cli.app import main

__all__ = ["main"]
