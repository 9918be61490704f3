from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest

from fixtures.compress import gzip
from fixtures.gem import make_gem, pack_gem, pack_members
from fixtures.gemspec_yaml import Era
from purekernel.errors import FormatError, LimitError, TreeError
from purekernel.formats.gem import GemVersion, parse_gem
from purekernel.formats.tar import parse_tar
from purekernel.input import Input, Limits
from purekernel.tree import File
from tests.formats.gem.ruby import gem

METADATA = "name: a\nversion: 1\n"
DATA = gzip(bytes(1024))


def refused(data: bytes) -> FormatError:
    with pytest.raises(FormatError) as caught:
        parse_gem(Input(data, name="a-1.gem"))
    return caught.value


@pytest.mark.parametrize("era", list(Era))
def test_gem_of_each_era_is_read(era: Era) -> None:
    made = make_gem("facter", "1.6.0", needs={"json": "~> 1.0"}, era=era)
    found = parse_gem(Input(made.content, name=made.name))
    assert (found.spec.name, found.spec.version) == ("facter", GemVersion("1.6.0"))
    assert [str(need) for need in found.spec.dependencies] == ["json ~> 1.0"]
    node = parse_tar(Input(found.data, name="data"))[b"lib/facter.rb"]
    assert isinstance(node, File)
    assert bytes(node.content) == b"FACTER_VERSION = '1.6.0'\n"


def test_uncompressed_metadata_is_read() -> None:
    data = pack_members({"metadata": METADATA.encode(), "data.tar.gz": DATA})
    assert parse_gem(Input(data, name="a")).spec.full_name == "a-1"


@pytest.mark.parametrize("algorithm", ["SHA1", "SHA256", "SHA384", "SHA512", "MD9"])
def test_known_checksums_are_verified(algorithm: str) -> None:
    known = algorithm != "MD9"
    digest = hashlib.new(algorithm.lower() if known else "md5", DATA).hexdigest()
    members = {"metadata.gz": gzip(METADATA.encode()), "data.tar.gz": DATA}
    sums = f"---\n{algorithm}:\n  data.tar.gz: {digest}\n"
    parse_gem(Input(pack_members({**members, "checksums.yaml.gz": gzip(sums.encode())}), name="a"))
    wrong = sums.replace(digest, digest[::-1]).encode()
    data = pack_members({**members, "checksums.yaml.gz": gzip(wrong)})
    if not known:
        parse_gem(Input(data, name="a-1.gem"))
        return
    error = refused(data)
    assert str(error) == (
        f"a-1.gem: data.tar.gz: expected {algorithm} {digest[::-1]} as in the checksums, "
        f"got {digest}"
    )
    assert error.hint == "the file is damaged or of another format: download or create it again"


def test_checksums_in_base64_and_capitals_are_read() -> None:
    # RubyGems 2.0 wrote digests as binary text.
    members = {"metadata.gz": gzip(METADATA.encode()), "data.tar.gz": DATA}
    digest = hashlib.sha256(DATA).hexdigest()
    binary = base64.b64encode(digest.encode()).decode()
    for promised in (digest.upper(), f"!binary |-\n    {binary}"):
        sums = f"SHA256:\n  data.tar.gz: {promised}\nSHA512: x\nSHA1:\n  metadata.gz:\n"
        parse_gem(
            Input(pack_members({**members, "checksums.yaml.gz": gzip(sums.encode())}), name="a")
        )
        assert "expected SHA256" in str(
            refused(
                pack_members(
                    {**members, "data.tar.gz": gzip(b""), "checksums.yaml.gz": gzip(sums.encode())}
                )
            )
        )


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"data.tar.gz": DATA}, "a-1.gem: expected a gem with metadata.gz, got none"),
        ({"metadata.gz": gzip(METADATA.encode())},
         "a-1.gem: expected a gem with data.tar.gz, got none"),
        ({"metadata.gz": b"x", "data.tar.gz": DATA},
         ("a-1.gem: metadata.gz, byte 1: expected a gzip header of 10 bytes, got the end of the "
         "file")),
        ({"metadata": METADATA.encode(), "data.tar.gz": DATA[:-1]},
         (f"a-1.gem: data.tar.gz, byte {len(DATA) - 1}: expected the CRC and size at the "
         "end of a gzip member, got the end of the file")),
        ({"metadata": METADATA.encode(), "data.tar.gz": DATA, "checksums.yaml.gz": gzip(b"- a")},
         "a-1.gem: checksums.yaml.gz: expected digests by algorithm, got something else"),
        ({"metadata": METADATA.encode(), "data.tar.gz": DATA,
          "checksums.yaml.gz": gzip(b"SHA1: {metadata.gz: aa}")},
         "a-1.gem: expected a gem with 'metadata.gz', got none"),
        ({"metadata": b"name: 'a", "data.tar.gz": DATA},
         "a-1.gem: metadata, line 1: expected YAML, got found unexpected end of stream"),
    ],
)  # fmt: skip
def test_incomplete_gem_is_refused(members: dict[str, bytes], message: str) -> None:
    assert str(refused(pack_members(members))) == message


def test_other_files_are_refused() -> None:
    assert str(refused(b"<html>")) == (
        "a-1.gem, byte 0: expected a gem, which is a tar file, got something else"
    )
    assert str(refused(gzip(pack_members({})))) == (
        "a-1.gem, byte 0: expected a gem, which is a tar file, got something else"
    )
    error = refused(b"      MD5SUM = 'x'\nrequire 'rubygems'\n")
    assert str(error) == (
        "a-1.gem: expected a gem that is a tar file, got one from before 2005, a Ruby script"
    )
    assert error.hint == "use a newer version: no RubyGems of the last decade supports it"


def test_truncated_gem_is_refused() -> None:
    sound = make_gem("facter").content
    assert str(refused(sound[:1536])) == "a-1.gem: expected a gem with data.tar.gz, got none"
    assert "expected a size from 0 to" in str(refused(sound[:1000]))


def test_gem_with_a_name_twice_is_refused() -> None:
    twice = make_gem("facter").content.rstrip(b"\0")
    twice += bytes(-len(twice) % 512)
    assert "expected each name once, as RubyGems requires, got 'metadata.gz', as at byte 0" in str(
        refused(twice + make_gem("facter").content)
    )


def test_name_outside_of_the_gem_is_refused() -> None:
    with pytest.raises(TreeError, match=r"contains '\.\.'"):
        parse_gem(Input(pack_members({"../metadata": b"", "data.tar.gz": DATA}), name="a"))


def test_decompression_bomb_is_refused() -> None:
    data = pack_gem(METADATA + "#" * 200_000, {}, checksums=True)
    with pytest.raises(LimitError, match="at most 100000 bytes unpacked"):
        parse_gem(Input(data, name="a", limits=Limits(unpacked_bytes=100_000)))


@pytest.mark.oracle
def test_gem_built_by_ruby_is_read(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "made.rb").write_text("MADE = 1\n")
    (tmp_path / "made.gemspec").write_text(
        "Gem::Specification.new('made', '2.0.rc1') { |s| s.summary = 'x'; s.authors = ['Zo\u00eb'];"
        " s.files = ['lib/made.rb']; s.add_dependency 'json', '>= 1', '< 3';"
        " s.add_development_dependency 'rspec', '= 1.10'; s.license = 'MIT';"
        " s.metadata['a'] = 'b'; s.required_ruby_version = '~> 3.0'; s.date = '2012-04-26' }\n",
        encoding="utf-8",
    )
    gem(tmp_path, "build", "--force", "-C", tmp_path, "made.gemspec")
    data = (tmp_path / "made-2.0.rc1.gem").read_bytes()
    spec = parse_gem(Input(data, name="made")).spec
    assert spec.file_name == "made-2.0.rc1.gem"
    assert [f"{need} {need.kind.value}" for need in spec.dependencies] == [
        "json >= 1, < 3 runtime",
        "rspec = 1.10 development",
    ]
    assert str(spec.required_ruby) == "~> 3.0"
    assert str(spec.required_rubygems) == "> 1.3.1"
    assert (spec.authors, spec.licenses, spec.metadata) == (("Zoë",), ("MIT",), (("a", "b"),))
    assert spec.date.isoformat() == "2012-04-26"


def test_unverified_signature_is_reported() -> None:
    notes: list[str] = []
    members = {"metadata": METADATA.encode(), "data.tar.gz": DATA, "data.tar.gz.sig": b"x"}
    limits = Limits(report=notes.append)
    parse_gem(Input(pack_members(members), name="a-1.gem", limits=limits))
    assert notes == ["a-1.gem: its signature was not verified"]
