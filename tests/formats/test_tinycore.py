from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.repository import make_indexes
from purekernel.errors import FormatError, PurekernelError, UnsupportedError
from purekernel.formats import tinycore
from purekernel.formats.gzip import parse_gzip
from purekernel.formats.tinycore import (
    build_dependencies,
    build_md5,
    is_plain,
    parse_dependencies,
    parse_dependency_index,
    parse_listing,
    parse_md5,
    parse_md5_index,
    parse_name_index,
    parse_size_index,
    parse_tag_index,
    read_provided,
)
from purekernel.input import Input, Limits
from tests.shared import mirror

DIGEST = "0123456789abcdef" * 2


def test_blanks_and_duplicates_in_a_dep_file_are_ignored() -> None:
    data = b"\n readline.tcz \r\n\t\nlibstdc++-6.tcz ncursesw.tcz\nreadline.tcz\n "
    names = ("readline.tcz", "libstdc++-6.tcz", "ncursesw.tcz")
    assert parse_dependencies(Input(data, name="x")) == names
    assert parse_dependencies(Input(b"", name="x")) == ()
    assert parse_dependencies(Input(build_dependencies(names), name="x")) == names
    assert parse_dependencies(Input(b"wireless-KERNEL.tcz", name="x")) == ("wireless-KERNEL.tcz",)


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbfa.tcz\r\nb.tcz\r\n",
        b"# from the mirror\na.tcz # first\n\t#c.tcz\nb.tcz",
        b"\xef\xbb\xbf#x\na.tcz\tb.tcz #",
    ],
)
def test_marks_and_comments_in_a_dep_file_are_ignored(data: bytes) -> None:
    assert parse_dependencies(Input(data, name="x")) == ("a.tcz", "b.tcz")
    assert not is_plain(data)
    assert is_plain(b"a.tcz\nb.tcz")


def test_marks_and_comments_in_indexes_are_ignored() -> None:
    mark = b"\xef\xbb\xbf# generated\r\n"
    line = f"{DIGEST}  a.tcz\r\n".encode()
    assert parse_md5(Input(mark + line, name="x")) == DIGEST
    assert parse_md5_index(Input(mark + line, name="x")) == {"a.tcz": DIGEST}
    assert parse_size_index(Input(mark + b"a.tcz 12\r\n", name="x")) == {"a.tcz": 12}
    assert parse_dependency_index(Input(mark + b"a.tcz\n#c\nb.tcz\n", name="x")) == {
        "a.tcz": ("b.tcz",)
    }


def test_utf_16_is_named_as_unsupported() -> None:
    with pytest.raises(UnsupportedError, match="x, byte 0: expected text in ASCII or UTF-8, got"):
        parse_dependencies(Input("\ufeffa.tcz\n".encode("utf-16-le"), name="x"))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a.tcz\n../b.tcz\n", "x, line 2: expected an extension name, got '../b.tcz'"),
        (b"<html>\n", "x, line 1: expected an extension name, got '<html>'"),
        (b"a.tcz\0\n", r"x, line 1: expected an extension name, got 'a.tcz\x00'"),
    ],
)
def test_invalid_name_in_a_dep_file_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse_dependencies(Input(data, name="x"))
    assert str(caught.value) == message


def test_dep_file_with_too_many_names_is_refused() -> None:
    data = b"".join(b"n%d.tcz\n" % number for number in range(5000))
    with pytest.raises(FormatError, match="at most 4096 dependencies, got more"):
        parse_dependencies(Input(data, name="x"))


@pytest.mark.parametrize(
    "line",
    [
        f"{DIGEST}  a.tcz",
        f"{DIGEST} *a.tcz",
        f"\n  {DIGEST.upper()}\ta b.tcz \r",
        DIGEST,
        f"\\{DIGEST}  a\\nb.tcz",
    ],
)
def test_digest_in_the_format_of_md5sum_is_read(line: str) -> None:
    assert parse_md5(Input(line.encode() + b"\n", name="x")) == DIGEST


@pytest.mark.parametrize("data", [b"", b"\n", b"<html>", b"0123  a.tcz", DIGEST.encode() + b"00"])
def test_file_without_a_digest_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError, match="x: expected a line of md5sum: 32 hexadecimal digits"):
        parse_md5(Input(data, name="x"))


def test_blank_lines_separate_records_of_the_dependency_index() -> None:
    data = b"\n\na.tcz\nb.tcz\n \nc.tcz\n\r\nb.tcz\nd.tcz\n\n\na.tcz\ne.tcz"
    assert parse_dependency_index(Input(data, name="x")) == {
        "a.tcz": ("b.tcz", "c.tcz", "e.tcz"),
        "b.tcz": ("d.tcz",),
    }


@pytest.mark.parametrize(
    ("parse", "data", "message"),
    [
        (
            parse_md5_index,
            DIGEST.encode() + b"  a.tcz\nnonsense\n",
            "x, line 2: expected 32 hexadecimal digits, blanks, a name, got 'nonsense'",
        ),
        (
            parse_size_index,
            b"a.tcz 12\na.tcz -1\n",
            "x, line 2: expected a name and a size in bytes, got 'a.tcz -1'",
        ),
        (
            parse_size_index,
            b"a.tcz\n",
            "x, line 1: expected a name and a size in bytes, got 'a.tcz'",
        ),
        (
            parse_dependency_index,
            b"a.tcz\n/etc/passwd\n",
            "x, line 2: expected an extension name, got '/etc/passwd'",
        ),
    ],
)
def test_damaged_index_is_refused(parse: object, data: bytes, message: str) -> None:
    assert callable(parse)
    with pytest.raises(FormatError) as caught:
        parse(Input(data, name="x"))
    assert str(caught.value) == message


def test_index_with_too_many_extensions_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tinycore, "MAX_EXTENSIONS", 2)
    lines = [f"n{number}.tcz" for number in range(3)]
    for parse, data in (
        (parse_md5_index, "\n".join(f"{DIGEST}  {line}" for line in lines)),
        (parse_size_index, "\n".join(f"{line} 1" for line in lines)),
        (parse_dependency_index, "\n\n".join(lines)),
    ):
        with pytest.raises(FormatError, match="x: expected at most 2 extensions, got more"):
            parse(Input(data.encode(), name="x"))


EXTENSIONS = st.dictionaries(
    st.from_regex(r"[a-z][a-z0-9_+]{0,8}\.tcz", fullmatch=True),
    st.lists(st.from_regex(r"[a-z][a-z0-9-]{0,8}\.tcz", fullmatch=True), unique=True, max_size=5),
    max_size=10,
)


@pytest.mark.slow
@given(EXTENSIONS)
def test_indexes_have_the_contents_of_the_files(needs: dict[str, list[str]]) -> None:
    contents = {name: name.encode() for name in needs}
    indexes = make_indexes(needs, contents)
    dependencies = parse_dependency_index(Input(indexes["dep.db.gz"], name="x"))
    assert dependencies == {name: tuple(lines) for name, lines in needs.items() if lines}
    digests = parse_md5_index(Input(indexes["md5.db.gz"], name="x"))
    assert digests.keys() == parse_size_index(Input(indexes["sizelist.gz"], name="x")).keys()
    assert digests.keys() == needs.keys()


@given(st.binary(max_size=200))
def test_any_bytes_raise_only_purekernel_errors(data: bytes) -> None:
    for parse in (
        parse_dependencies,
        parse_md5,
        parse_md5_index,
        parse_size_index,
        parse_dependency_index,
    ):
        with suppress(PurekernelError):
            parse(Input(data, name="x"))


@pytest.mark.oracle
def test_indexes_of_the_shared_mirror_match_its_files() -> None:
    folder = mirror() / "4.x" / "x86" / "tcz"

    def index(name: str) -> bytes:
        return bytes(parse_gzip(Input((folder / name).read_bytes(), name=name)))

    needs = parse_dependency_index(Input(index("dep.db.gz"), name="dep.db"))
    digests = parse_md5_index(Input(index("md5.db.gz"), name="md5.db"))
    sizes = parse_size_index(Input(index("sizelist.gz"), name="sizelist"))
    extensions = sorted(folder.glob("*.tcz"))
    assert len(extensions) == 29
    for path in extensions:
        assert sizes[path.name] == path.stat().st_size
        digest = parse_md5(
            Input(path.with_name(path.name + ".md5.txt").read_bytes(), name=path.name)
        )
        assert digests[path.name] == digest
        dep_file = path.with_name(path.name + ".dep")
        data = dep_file.read_bytes() if dep_file.exists() else b""
        assert parse_dependencies(Input(data, name=dep_file.name)) == needs.get(path.name, ())


def test_md5_file_is_built() -> None:
    digest = "0123456789abcdef" * 2
    assert parse_md5(Input(build_md5(digest, "a.tcz"), name="x")) == digest


def test_tag_index_gives_the_text_after_each_name() -> None:
    notes: list[str] = []
    data = b"# made by hand\nvim.tcz\t\t an  editor \nmono C# a.tcz\n-x y\n\nvim.tcz vi\nb.tcz\r\n"
    file = Input(data, name="tags.db", limits=Limits(report=notes.append))
    assert parse_tag_index(file) == {"vim.tcz": "an editor vi", "mono.tcz": "C# a.tcz", "b.tcz": ""}
    assert notes == ["tags.db: 1 entry names no extension and is ignored"]


def test_tags_in_an_old_encoding_are_read() -> None:
    assert parse_tag_index(Input(b"a.tcz caf\xe9", name="x")) == {"a.tcz": "café"}


def test_name_index_gives_names_without_duplicates() -> None:
    assert parse_name_index(Input(b"b.tcz\na.tcz\n\nb.tcz\n", name="x")) == ("b.tcz", "a.tcz")
    with pytest.raises(FormatError, match="line 1"):
        parse_name_index(Input(b"<html>", name="x"))


def test_provides_index_gives_each_path_with_its_extension() -> None:
    notes: list[str] = []
    data = b"\na.tcz\r\n/usr/bin/a #1\r\n./usr/lib/\xff\n \n\nusr/x\nusr/y\n\nb.tcz\n\nc.tcz\nusr/c"
    file = Input(data, name="provides.db", limits=Limits(report=notes.append))
    assert list(read_provided(file)) == [
        ("a.tcz", b"usr/bin/a #1"),
        ("a.tcz", b"usr/lib/\xff"),
        ("c.tcz", b"usr/c"),
    ]
    assert notes == ["provides.db: 1 entry names no extension and is ignored"]


def test_too_many_extensions_in_an_index_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tinycore, "MAX_EXTENSIONS", 2)
    for read in (parse_tag_index, parse_name_index, lambda file: list(read_provided(file))):
        read(Input(b"a.tcz\n\nb.tcz", name="x"))
        with pytest.raises(FormatError, match="at most 2 extensions"):
            read(Input(b"a.tcz\n\nb.tcz\n\nc.tcz", name="x"))


def test_listing_gives_paths_without_a_slash_at_the_start() -> None:
    assert parse_listing(Input(b"/usr/b\n./usr/a b\r\n\nc", name="x")) == (
        b"usr/b",
        b"usr/a b",
        b"c",
    )
