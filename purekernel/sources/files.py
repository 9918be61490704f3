"""Read a file of the host's, or say why not in words that help."""

from __future__ import annotations

from pathlib import Path

from purekernel.errors import InputError


def load_file(path: Path) -> bytes:
    """Return the bytes of the file at ``path``.

    Raises:
        InputError: it is missing, no file, or may not be read.
    """
    try:
        if path.is_dir():
            raise InputError(f"{path} is a folder, not a file", hint="give the path of a file")
        if path.exists() and not path.is_file():
            # A device or fifo may never end.
            raise InputError(
                f"{path} is neither a file nor a folder", hint="give the path of a file"
            )
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(
            f"{path} does not exist", hint="check the path; it is taken from the current folder"
        ) from None
    except ValueError as error:
        raise InputError(f"{str(path)!r} cannot be read: {error}") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
    except MemoryError:
        raise InputError(
            f"{path} does not fit in memory", hint="it is too large to be an image's part"
        ) from None
