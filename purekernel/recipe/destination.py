"""Tell where outputs go from what a user writes: a folder, one file, or stdout."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from purekernel.errors import UsageError
from purekernel.host.checksums import CHECKSUMS, closing_checksums, load_checksums
from purekernel.host.read import find_status
from purekernel.host.write import About, Output, WriteOutput, publish, publish_file, send
from purekernel.recipe.flavour import FILE_ENDINGS, Emit
from purekernel.records import frozen
from purekernel.tree import Buffer

STDOUT = "-"

_SEPARATORS = tuple(filter(None, (os.sep, os.altsep)))
_CHOOSE = ", or choose one output with --emit"


@frozen(kw_only=True)
class OutputForm:
    """What one output, or several together, can be written to besides a folder.

    Attributes:
        words: the outputs, for messages.
        endings: the endings of a file's name, in lower case; empty for several files.
        several: the clause that they are several files.
        choose: how to choose another output, for the end of a hint.
    """

    words: str
    endings: tuple[str, ...]
    several: str = ""
    choose: str = ""


@frozen(kw_only=True)
class Destination:
    """Where outputs go.

    Attributes:
        folder: a folder, created if missing.
        file: a file, for one output.
        stream: a binary stream, for one output; it need not be able to seek.
    """

    folder: Path | None = None
    file: Path | None = None
    stream: BinaryIO | None = None

    def paths(self, names: Sequence[str]) -> list[str]:
        """Return the paths of outputs, of which ``names`` are the default names."""
        if self.folder is not None:
            return [str(self.folder / name) for name in names]
        return [STDOUT if self.file is None else str(self.file)]

    @property
    def checksums(self) -> Path | None:
        """The path of the checksum file beside the outputs; ``None`` for a stream."""
        folder = self._checksum_folder
        return None if folder is None else folder / CHECKSUMS

    @property
    def _checksum_folder(self) -> Path | None:
        return self.folder if self.file is None else self.file.parent

    def check_checksums(self) -> None:
        """Check the checksum file beside the outputs, to which :meth:`write` adds lines.

        Raises:
            InputError: it cannot be read, or has lines of another kind.
            LimitError: it is too large.
        """
        if self._checksum_folder is not None:
            load_checksums(self._checksum_folder)

    def write(
        self,
        contents: Mapping[str, Buffer | WriteOutput],
        *,
        checksums: bool = False,
        about: About | None = None,
    ) -> list[Output]:
        """Write the content of each output, by its path in a folder; return what was written.

        Nothing is written if there is no folder, file or stream.

        Args:
            contents: the contents, or functions that write them.
            checksums: whether their checksums are written beside them, too.
            about: makes a further output for a folder, about the others.

        Raises:
            OutputError: an output cannot be written; existing files stay unchanged.
            BrokenPipeError: the reader of the stream is gone.
        """
        folder = self._checksum_folder
        closing = closing_checksums(folder) if checksums and folder is not None else None
        if self.folder is not None:
            return publish(self.folder, contents, about=about, closing=closing)
        if self.file is not None:
            (content,) = contents.values()
            return [publish_file(self.file, content, closing=closing)]
        if self.stream is not None:
            (content,) = contents.values()
            return [send(self.stream, content)]
        return []


def form_of(kinds: Sequence[Emit]) -> OutputForm:
    """Return the form of the outputs ``kinds``: one of them may be one file."""
    if len(kinds) > 1:
        words = f"the outputs {', '.join(kind.value for kind in kinds[:-1])} and {kinds[-1].value}"
        several = f"{words} are several files"
        return OutputForm(words=words, endings=(), several=several, choose=_CHOOSE)
    words = f"the output {kinds[0].value}"
    endings = FILE_ENDINGS.get(kinds[0], ())
    return OutputForm(words=words, endings=endings, several=f"{words} is several files")


def choose_destination(
    text: str, form: OutputForm, *, stdout: Callable[[], BinaryIO | None], option: str = "-o"
) -> Destination:
    """Return what ``text`` names: ``-`` is stdout, and an ending of the output makes it a file.

    An existing folder, and a name that ends in a slash, are folders; so is a name without an
    ending. Anything else is an error, because it may be a mistyped name of a file.

    Args:
        text: what the user writes.
        form: the form of the outputs.
        stdout: opens the stream that ``-`` means.
        option: where the user writes it, for messages.

    Raises:
        UsageError: ``text`` names neither a folder nor a file of that form.
        InputError: the host does not tell what is there.
    """
    where = f"{option} {text}"
    if text == STDOUT:
        check_single(form, where)
        return Destination(stream=stdout())
    path = Path(text)
    status = None if text.endswith(_SEPARATORS) else find_status(path)
    if text.endswith(_SEPARATORS) or (status is not None and stat.S_ISDIR(status.st_mode)):
        return Destination(folder=path)
    if status is not None and not stat.S_ISREG(status.st_mode):
        raise UsageError(
            f"{where} is a device, a fifo or a socket",
            hint=f"write to stdout, and redirect it: -o - > {path}",
        )
    if has_ending(path.name, form.endings):
        return Destination(file=path)
    exists = find_status(path, follow=False) is not None
    # The name build-1.0 has a version at its end.
    if not exists and not path.suffix.strip(".0123456789") and not _find_kinds(f"x{path.name}"):
        return Destination(folder=path)
    raise _no_destination(path, form, where, exists=exists)


def check_single(form: OutputForm, where: str) -> None:
    """Refuse outputs that are several files, where only one can be written.

    Raises:
        UsageError: ``form`` is of several files.
    """
    if not form.endings:
        raise UsageError(
            f"{where} is for one file, and {form.several}",
            hint=f"write to a folder{form.choose}",
        )


def check_file(path: Path, form: OutputForm, where: str) -> None:
    """Refuse a file whose name does not have an ending of the output.

    Raises:
        UsageError: the name has another ending, or the outputs are several files.
    """
    check_single(form, where)
    if not has_ending(path.name, form.endings):
        raise UsageError(
            f"{where}: the name of {form.words} must end in {_either(form.endings)}",
            hint=f"write NAME{form.endings[0]}",
        )


def has_ending(name: str, endings: Sequence[str]) -> bool:
    """Return whether a file name has one of ``endings``, in any case, and more than that."""
    return any(name.lower().endswith(end) and len(name) > len(end) for end in endings)


def _no_destination(path: Path, form: OutputForm, where: str, *, exists: bool) -> UsageError:
    folder = f"write {path}{os.sep} for a folder"
    if not form.endings:
        return UsageError(
            f"{where} names a file, and {form.several}",
            hint=("give the name of a folder" if exists else folder) + form.choose,
        )
    file = f"a name that ends in {_either(form.endings)} for the file"
    others = [kind.value for kind in _find_kinds(path.name)]
    emit = f", or --emit {_either(others)} for such a file" if others else ""
    if exists:
        return UsageError(
            f"{where} is a file, and the name of {form.words} must end in {_either(form.endings)}",
            hint=f"give the name of a folder, or {file}{emit}",
        )
    return UsageError(
        f"{where} is not clear: a folder, or a file of {form.words}?",
        hint=f"{folder}, or {file}{emit}",
    )


def _find_kinds(name: str) -> list[Emit]:
    return [kind for kind, endings in FILE_ENDINGS.items() if has_ending(name, endings)]


def _either(endings: Sequence[str]) -> str:
    return endings[0] if len(endings) == 1 else f"{', '.join(endings[:-1])} or {endings[-1]}"
