"""Find the libraries in a folder.

Source: glibc 2.36, ``search_dir`` in elf/ldconfig.c, ``process_file`` in elf/readlib.c,
``_dl_is_dso`` in elf/dl-is_dso.h.
"""

from __future__ import annotations

from attrs import evolve, frozen

from purekernel.errors import FormatError
from purekernel.formats.elf import (
    ET_DYN,
    is_elf,
    parse_elf_header,
    parse_shared_library,
)
from purekernel.formats.elf.layout import MAGIC
from purekernel.formats.ld_cache import compare_library_names
from purekernel.rootfs.ldconfig.architecture import Architecture
from purekernel.rootfs.ldconfig.folders import SearchFolder, SearchList
from purekernel.rootfs.ldconfig.hwcaps import Hwcaps
from purekernel.rootfs.ldconfig.kinds import (
    ELF,
    ELF_LIBC5,
    ELF_LIBC6,
    LIBC4,
    flags_of,
    knows_machine,
    soname_and_libc,
)
from purekernel.rootfs.ldconfig.rules import Rules
from purekernel.tree import Buffer, Directory, File, Found, Symlink, Tree, display, look_up

# A script for ld(1), such as libc.so, says so within its first bytes.
SCRIPT_BYTES = 512
SCRIPT_MARKS = (b"GROUP", b"GNU ld script")

# Scripts for gdb lie beside their library. Source: glibc 2.40, is_gdb_extension_file.
GDB_ENDS = (b"-gdb.py", b"-gdb.gdb", b"-gdb.scm")

# The magic numbers of libraries before ELF, in the lower half of the first word.
AOUT_ZMAGIC, AOUT_QMAGIC = 0o413, 0o314

# struct exec: no header of a library is shorter.
AOUT_HEADER_BYTES = 32

# By these, and for RPM by a semicolon, names are told that files have for a moment only.
DPKG_ENDS = (b".dpkg-new", b".dpkg-tmp")

PRELINK_END = b".#prelink#"
PRELINK_MARK = b".#prelink#."
PRELINK_SUFFIX_BYTES = len(b".#prelink#.XXXXXX")


@frozen(kw_only=True)
class Content:
    """What a file is to the loader, whatever its name."""

    soname: bytes | None
    flags: int
    isa_level: int
    os_version: int


@frozen(kw_only=True)
class Library:
    """A library of a folder.

    Attributes:
        name: of the file.
        soname: what programs ask for.
        flags: its kind and ABI.
        is_link: whether the file is a link that is as it should be, and needs no other.
        isa_level: the level of instructions that it needs.
        os_version: the oldest system that it needs.
    """

    name: bytes
    soname: bytes
    flags: int
    is_link: bool
    isa_level: int
    os_version: int


class Libraries:
    """Find libraries, folder by folder; each inode is read once.

    Args:
        tree: where they are; links that lead nowhere are removed from it.
        architecture: whose ldconfig.
        rules: of its release.
        hwcaps: which folders are for special hardware.
        remove_stale: whether to remove links.

    Attributes:
        warnings: one line each.
    """

    def __init__(
        self,
        tree: Tree,
        architecture: Architecture,
        rules: Rules,
        hwcaps: Hwcaps,
        *,
        remove_stale: bool,
    ) -> None:
        self.warnings: list[str] = []
        self._tree = tree
        self._architecture = architecture
        self._rules = rules
        self._hwcaps = hwcaps
        self._remove_stale = remove_stale
        self._contents: dict[int, Content] = {}

    def search(self, folder: SearchFolder, folders: SearchList) -> list[Library]:
        """Return the libraries in ``folder``, one of each soname, the last seen first.

        Folders for better hardware are added to ``folders``; links to libraries that lead
        nowhere are removed. glibc takes files in the file system's order, which a tree has
        not: here they are taken as names sort by bytes. It decides nothing but which of two
        is kept whose names differ in leading zeros alone, and the kind of those that have one
        soname and different kinds.
        """
        found: dict[bytes, Library] = {}
        if not isinstance(self._tree.get(folder.place), Directory):
            return []
        for name in self._tree.entries(folder.place):
            library = self._look_at(folder, name, folders)
            if library is None:
                continue
            other = found.get(library.soname)
            found[library.soname] = (
                library if other is None else self._choose(other, library, folder)
            )
        return list(reversed(found.values()))

    def _look_at(self, folder: SearchFolder, name: bytes, folders: SearchList) -> Library | None:
        place = folder.place + b"/" + name if folder.place else name
        node = self._tree[place]
        is_link = isinstance(node, Symlink)
        if not isinstance(node, File | Directory | Symlink) or not self._is_wanted(
            folder, name, is_file=isinstance(node, File)
        ):
            return None
        found = look_up(self._tree, place)
        if found is None:
            if self._remove_stale and b".so." in name:
                self._tree.remove(place)
            return None
        if (
            folder.hwcaps is None
            and isinstance(found.node, Directory)
            and self._hwcaps.is_searched(name)
        ):
            folders.add_below(folder, name, found)
            return None
        if isinstance(node, Directory):
            return None
        content = self._read(folder.path + b"/" + name, name, found)
        if content is None:
            return None
        return self._name_library(name, content, folder, is_link=is_link)

    def _is_wanted(self, folder: SearchFolder, name: bytes, *, is_file: bool) -> bool:
        """Say whether a name is one of a library, or of a folder for better hardware."""
        if not self._is_library_name(name) and (
            is_file or (folder.hwcaps is None and not self._hwcaps.is_searched(name))
        ):
            return False
        if self._rules.skips_temporary and (b";" in name or name.endswith(DPKG_ENDS)):
            return False
        return not (
            name.endswith(PRELINK_END) or name[-PRELINK_SUFFIX_BYTES:].startswith(PRELINK_MARK)
        )

    def _is_library_name(self, name: bytes) -> bool:
        if self._rules.knows_loader_names and name.startswith((b"ld.so.", b"ld64.so.")):
            return True
        return name.startswith((b"lib", b"ld-")) and b".so" in name

    def _name_library(
        self, name: bytes, content: Content, folder: SearchFolder, *, is_link: bool
    ) -> Library:
        """Return the library that a name in a folder stands for."""
        soname = content.soname
        if soname is None:
            soname = _major_name(name) if self._rules.shortens_names else name
        # A link counts as one only as the soname itself, or as libx.so, which is ld's. Any
        # other is taken for another version of the library.
        if is_link and name != soname and not (name.endswith(b".so") and soname.startswith(name)):
            is_link = False
        flags = content.flags
        if flags == ELF and folder.kind in (ELF_LIBC5, ELF_LIBC6):
            flags = folder.kind
        return Library(
            name=name,
            soname=name if is_link else soname,
            flags=flags,
            is_link=is_link,
            isa_level=content.isa_level,
            os_version=content.os_version,
        )

    def _choose(self, old: Library, new: Library, folder: SearchFolder) -> Library:
        """Return the better of two with one soname: a file before a link, then the newer."""
        newer = (
            compare_library_names(old.name, new.name, signed_bytes=self._architecture.signed_bytes)
            < 0
        )
        if not (old.is_link and not new.is_link) and not (old.is_link == new.is_link and newer):
            return old
        flags = old.flags
        if flags != new.flags:
            kinds = {flags, new.flags}
            if kinds in ({ELF, ELF_LIBC5}, {ELF, ELF_LIBC6}):
                flags = new.flags
            else:
                self.warnings.append(
                    f"{display(old.name)} and {display(new.name)} in {display(folder.path)} "
                    "have one soname and are of different kinds"
                )
        return evolve(new, flags=flags)

    def _read(self, path: bytes, name: bytes, found: Found) -> Content | None:
        """Return what the file at ``path`` is, ``None`` where it is no library."""
        known = self._contents.get(found.inode)
        if known is not None:
            return known
        if not isinstance(found.node, File):
            self.warnings.append(f"{display(path)}: expected a file, got something else")
            return None
        try:
            content = read_content(
                found.node.content,
                self._architecture,
                self._rules,
                name=name,
                source=display(path),
            )
        except FormatError as error:
            self.warnings.append(str(error))
            return None
        if content is not None:
            self._contents[found.inode] = content
        return content


def read_content(
    content: Buffer, architecture: Architecture, rules: Rules, *, name: bytes, source: str
) -> Content | None:
    """Return what a file is to the loader; ``None`` for what has nothing wrong and no place.

    Args:
        content: of the file.
        architecture: whose loader.
        rules: of the ldconfig that reads it.
        name: of the file.
        source: its path, for messages.

    Raises:
        FormatError: it is damaged, or nothing that belongs among libraries.
    """
    word = int.from_bytes(bytes(content[:4]), architecture.byte_order)
    if not _is_long_enough(content, architecture, source=source):
        return None
    if word & 0xFFFF in (AOUT_ZMAGIC, AOUT_QMAGIC):
        return Content(
            soname=_major_name(name),
            flags=LIBC4 if rules.library_types else ELF_LIBC6,
            isa_level=0,
            os_version=0,
        )
    if not _is_elf_or_raise(content, name=name, source=source):
        return None
    return _read_elf(content, architecture, rules, source=source)


def _is_long_enough(content: Buffer, architecture: Architecture, *, source: str) -> bool:
    """Say whether there is a header to read; refuse what only pretends to have one."""
    if len(content) >= max(AOUT_HEADER_BYTES, architecture.header_bytes):
        return True
    if MAGIC.startswith(bytes(content[: len(MAGIC)])):
        raise FormatError(
            source=source,
            expected="a library",
            got=f"a file of {len(content)} bytes" if content else "an empty file",
        )
    return False


def _is_elf_or_raise(content: Buffer, *, name: bytes, source: str) -> bool:
    """Say whether a file is ELF; refuse what is no script for ld either."""
    if is_elf(content):
        return True
    start = bytes(content[:SCRIPT_BYTES])
    if not any(mark in start for mark in SCRIPT_MARKS) and not name.endswith(GDB_ENDS):
        raise FormatError(
            source=source, offset=0, expected="an ELF file or a script for ld", got=repr(start[:4])
        )
    return False


def _read_elf(
    content: Buffer, architecture: Architecture, rules: Rules, *, source: str
) -> Content | None:
    header = parse_elf_header(content, source=source, byte_order=architecture.byte_order)
    if header.type != ET_DYN:
        return None
    if not knows_machine(architecture.family, header, rules):
        raise FormatError(
            source=source,
            offset=18,
            expected=f"a library for {architecture.name}",
            got=f"one for machine {header.machine}",
        )
    library = parse_shared_library(
        content,
        header,
        source=source,
        pointer_bytes=8 if architecture.header_bytes == 64 else 4,
        aligned_notes=rules.aligns_notes,
        strings_by_segment=rules.finds_strings_by_segment,
    )
    if library is None:
        return None
    soname, libc = soname_and_libc(
        library,
        known_loaders=architecture.known_loaders,
        known_libraries=architecture.known_libraries,
        rules=rules,
    )
    flags = flags_of(architecture.family, header, libc, rules)
    if flags is None:
        return None
    return Content(
        soname=soname,
        flags=flags,
        isa_level=library.isa_level,
        os_version=library.os_version if rules.os_versions else 0,
    )


def _major_name(name: bytes) -> bytes:
    """Return the name that a library without soname goes by: with its major version alone."""
    stem, mark, version = name.partition(b".so.")
    return stem + mark + version.split(b".")[0] if mark else name
