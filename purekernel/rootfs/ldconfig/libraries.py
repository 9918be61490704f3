"""Find the libraries in folders.

Source: glibc 2.36, ``search_dir`` in elf/ldconfig.c, ``process_file`` in elf/readlib.c,
``_dl_is_dso`` in elf/dl-is_dso.h.
"""

from __future__ import annotations

from attrs import evolve

from purekernel.errors import FormatError
from purekernel.formats.detect import FileKind, detect
from purekernel.formats.elf import (
    ET_DYN,
    parse_elf_header,
    parse_shared_library,
)
from purekernel.formats.elf.layout import MAGIC
from purekernel.formats.ld_cache import compare_library_names
from purekernel.input import Input
from purekernel.records import frozen
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
from purekernel.tree import Directory, File, Found, Symlink, Tree, display, look_up

# A linker script, such as libc.so, has one of these marks in its first bytes.
SCRIPT_BYTES = 512
SCRIPT_MARKS = (b"GROUP", b"GNU ld script")

# The suffixes of gdb scripts beside libraries. Source: glibc 2.40, is_gdb_extension_file.
GDB_ENDS = (b"-gdb.py", b"-gdb.gdb", b"-gdb.scm")

# The magic numbers of a.out libraries, in the lower half of the first word.
AOUT_ZMAGIC, AOUT_QMAGIC = 0o413, 0o314

# The size of struct exec, the shortest header of a library.
AOUT_HEADER_BYTES = 32

# The suffixes of dpkg's temporary files. RPM's have a semicolon in the name.
DPKG_ENDS = (b".dpkg-new", b".dpkg-tmp")

PRELINK_END = b".#prelink#"
PRELINK_MARK = b".#prelink#."
PRELINK_SUFFIX_BYTES = len(b".#prelink#.XXXXXX")


@frozen(kw_only=True)
class LibraryContent:
    """The properties of a library that do not depend on its name."""

    soname: bytes | None
    flags: int
    isa_level: int
    os_version: int


@frozen(kw_only=True)
class Library:
    """A library of a folder.

    Attributes:
        name: the name of the file.
        soname: the name by which programs request it.
        flags: its kind and ABI.
        is_link: whether the file is already a correct link.
        isa_level: the ISA level that it needs.
        os_version: the oldest kernel version that it supports.
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
        tree: the root file system; broken links are removed from it.
        architecture: the architecture of ldconfig.
        rules: the rules of the glibc release.
        hwcaps: the hardware folders.
        remove_stale: whether to remove broken links.

    Attributes:
        warnings: one line for each file that is skipped.
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
        self._contents: dict[int, LibraryContent] = {}

    def search(self, folder: SearchFolder, folders: SearchList) -> list[Library]:
        """Return the libraries in ``folder``, one for each soname, in reverse order.

        Hardware folders are added to ``folders``, and broken links to libraries are removed. glibc
        reads files in the order of the file system; here they are sorted by bytes. The order
        decides only which of two libraries is kept if their names differ in leading zeros alone,
        and the kind if libraries with one soname differ in kind.
        """
        found: dict[bytes, Library] = {}
        if not isinstance(self._tree.get(folder.place), Directory):
            return []
        for name in self._tree.entries(folder.place):
            library = self._read_entry(folder, name, folders)
            if library is None:
                continue
            other = found.get(library.soname)
            found[library.soname] = (
                library if other is None else self._choose(other, library, folder)
            )
        return list(reversed(found.values()))

    def _read_entry(self, folder: SearchFolder, name: bytes, folders: SearchList) -> Library | None:
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
        """Say whether a name may be that of a library or of a hardware folder."""
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
        self, name: bytes, content: LibraryContent, folder: SearchFolder, *, is_link: bool
    ) -> Library:
        """Return the library with a name in a folder."""
        soname = content.soname
        if soname is None:
            soname = _major_name(name) if self._rules.shortens_names else name
        # A link counts as a link only if it is the soname, or libx.so for ld. Any other link
        # counts as another version of the library.
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
        """Return the better of two with one soname: files before links, then the newer."""
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
                    "have the same soname but different kinds"
                )
        return evolve(new, flags=flags)

    def _read(self, path: bytes, name: bytes, found: Found) -> LibraryContent | None:
        """Return the properties of the library at ``path``, ``None`` if it is not a library."""
        known = self._contents.get(found.inode)
        if known is not None:
            return known
        if not isinstance(found.node, File):
            self.warnings.append(f"{display(path)}: expected a file, got something else")
            return None
        try:
            content = read_content(
                Input(found.node.content, name=display(path)),
                self._architecture,
                self._rules,
                name=name,
            )
        except FormatError as error:
            self.warnings.append(str(error))
            return None
        if content is not None:
            self._contents[found.inode] = content
        return content


def read_content(
    file: Input, architecture: Architecture, rules: Rules, *, name: bytes
) -> LibraryContent | None:
    """Return the properties of a library; ``None`` for other files that ldconfig ignores.

    Args:
        file: the whole file.
        architecture: the architecture of ldconfig.
        rules: the rules of the glibc release.
        name: the name of the file.

    Raises:
        FormatError: the file is damaged, or must not be among libraries.
    """
    word = int.from_bytes(bytes(file.data[:4]), architecture.byte_order)
    if not _is_long_enough(file, architecture):
        return None
    if word & 0xFFFF in (AOUT_ZMAGIC, AOUT_QMAGIC):
        return LibraryContent(
            soname=_major_name(name),
            flags=LIBC4 if rules.library_types else ELF_LIBC6,
            isa_level=0,
            os_version=0,
        )
    if not _is_elf_or_raise(file, name=name):
        return None
    return _read_elf(file, architecture, rules)


def _is_long_enough(file: Input, architecture: Architecture) -> bool:
    """Say whether the file has a whole header; refuse a truncated ELF file."""
    if len(file) >= max(AOUT_HEADER_BYTES, architecture.header_bytes):
        return True
    if MAGIC.startswith(bytes(file.data[: len(MAGIC)])):
        got = f"a file of {len(file)} bytes" if len(file) else "an empty file"
        raise file.fail(None, "a library", got)
    return False


def _is_elf_or_raise(file: Input, *, name: bytes) -> bool:
    """Say whether a file is ELF; refuse other files, except linker scripts."""
    if detect(file.data) is FileKind.ELF:
        return True
    start = bytes(file.data[:SCRIPT_BYTES])
    if not any(mark in start for mark in SCRIPT_MARKS) and not name.endswith(GDB_ENDS):
        raise file.fail(0, "an ELF file or a linker script", repr(start[:4]))
    return False


def _read_elf(file: Input, architecture: Architecture, rules: Rules) -> LibraryContent | None:
    header = parse_elf_header(file, byte_order=architecture.byte_order)
    if header.type != ET_DYN:
        return None
    if not knows_machine(architecture.family, header, rules):
        raise file.fail(
            18, f"a library for {architecture.name}", f"one for ELF machine {header.machine}"
        )
    library = parse_shared_library(
        file,
        header,
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
    return LibraryContent(
        soname=soname,
        flags=flags,
        isa_level=library.isa_level,
        os_version=library.os_version if rules.os_versions else 0,
    )


def _major_name(name: bytes) -> bytes:
    """Return the soname of a library without one: its name up to the major version."""
    stem, mark, version = name.partition(b".so.")
    return stem + mark + version.split(b".")[0] if mark else name
