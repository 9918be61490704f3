"""``python -m purekernel`` is the ``purekernel`` command."""

import sys

from purekernel.cli import main

if __name__ == "__main__":
    sys.exit(main())
