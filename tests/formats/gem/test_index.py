"""Build and parse indexes of gems, and compare with RubyGems."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import zlib
from contextlib import suppress
from pathlib import Path

import pytest

from fixtures.compress import deflate
from fixtures.gem import GemFile, make_gem
from fixtures.gem_server import lay_out_server
from fixtures.gemspec_yaml import Era
from purekernel.errors import CombinedError, FormatError, InputError, LimitError, PurekernelError
from purekernel.formats.gem import (
    GemDependency,
    GemRequirement,
    GemSpec,
    GemVersion,
    build_gem_index,
)
from purekernel.formats.gem.index import (
    MAX_QUICK_BYTES,
    IndexedGem,
    may_list,
    parse_gem_index,
    parse_packed_spec,
    unpack_gem_index,
)
from purekernel.formats.gem.marshalled import build_quick_spec, parse_quick_spec
from purekernel.formats.ruby_marshal import (
    Hash,
    Object,
    Symbol,
    UserDefined,
    UserMarshal,
    Value,
    build_marshal,
)
from purekernel.input import Input
from tests.formats.gem.ruby import gem, ruby

SAMPLE = (
    make_gem("facter", "1.6.0"),
    make_gem("facter", "1.7.0", ruby=">= 1.8.7, < 5", rubygems=">= 1.3"),
    make_gem("facter", "1.10.0"),
    make_gem("facter", "2.0.0.rc1", rubygems="> 1.3.1"),
    make_gem(
        "razor",
        "0.9",
        needs={"facter": "~> 1.7.0", "json_pure": ">= 1.7, != 1.7.1"},
        development={"rspec": ">= 0"},
        era=Era.EARLY_PSYCH,
    ),
    make_gem("json_pure", "1.7.7", era=Era.SYCK),
    make_gem("old", "0.1", needs={"json_pure": ">= 1, < 2"}, era=Era.SYCK, ruby="> 0.0.0"),
)


def index(*gems: GemFile) -> dict[str, bytes]:
    return build_gem_index({made.name: made.spec for made in gems}, deflate=deflate)


def listed(data: bytes) -> list[str]:
    return [entry.full_name for entry in parse_gem_index(Input(data, name="specs"))]


def test_index_has_the_expected_files() -> None:
    files = index(*SAMPLE)
    assert list(files) == sorted(
        [
            *(
                f"{name}specs.4.8{ending}"
                for name in ("", "latest_", "prerelease_")
                for ending in ("", ".gz")
            ),
            *(f"quick/Marshal.4.8/{made.spec.full_name}.gemspec.rz" for made in SAMPLE),
        ]
    )
    assert listed(files["specs.4.8"]) == [
        "facter-1.6.0", "facter-1.7.0", "facter-1.10.0", "json_pure-1.7.7", "old-0.1", "razor-0.9",
    ]  # fmt: skip
    assert listed(files["latest_specs.4.8"]) == [
        "facter-1.10.0", "json_pure-1.7.7", "old-0.1", "razor-0.9",
    ]  # fmt: skip
    assert listed(files["prerelease_specs.4.8"]) == ["facter-2.0.0.rc1"]
    for name in ("specs", "latest_specs", "prerelease_specs"):
        packed = files[f"{name}.4.8.gz"]
        assert unpack_gem_index(Input(packed, name="specs")).data == files[f"{name}.4.8"]
        assert packed[4:10] == b"\0\0\0\0\x02\xff"  # no time, no host


def test_quick_specs_equal_the_specs_of_the_gems() -> None:
    files = index(*SAMPLE)
    for made in SAMPLE:
        packed = files[f"quick/Marshal.4.8/{made.spec.full_name}.gemspec.rz"]
        assert parse_packed_spec(Input(packed, name="q")) == made.spec


def test_order_of_gems_does_not_change_the_index() -> None:
    files = index(*SAMPLE)
    assert index(*reversed(SAMPLE)) == files
    digest = hashlib.sha256()
    for name, content in files.items():
        digest.update(f"{name} {len(content)}\n".encode() + content)
    assert digest.hexdigest() == PINNED


# If this digest changes, check again that gem reads the index.
PINNED = "e340b09b64b21490bf107741b37608df98e8de93f7a33a214d7584ac130fa806"


def test_ruby_platform_is_sorted_before_others() -> None:
    gems = [
        make_gem("json", "1.8.0", platform="java"),
        make_gem("json", "1.8.0"),
        make_gem("json", "1.8.1", platform="x86-mingw32"),
        make_gem("json", "1.7.0", platform="java"),
    ]
    files = index(*gems)
    assert listed(files["specs.4.8"]) == [
        "json-1.7.0-java", "json-1.8.0", "json-1.8.0-java", "json-1.8.1-x86-mingw32",
    ]  # fmt: skip
    # The newest release of each platform.
    assert listed(files["latest_specs.4.8"]) == [
        "json-1.8.0", "json-1.8.0-java", "json-1.8.1-x86-mingw32",
    ]  # fmt: skip
    assert "quick/Marshal.4.8/json-1.8.1-x86-mingw32.gemspec.rz" in files


def test_index_of_no_gems_is_built() -> None:
    files = index()
    assert sorted(files) == [
        "latest_specs.4.8", "latest_specs.4.8.gz", "prerelease_specs.4.8",
        "prerelease_specs.4.8.gz", "specs.4.8", "specs.4.8.gz",
    ]  # fmt: skip
    assert listed(files["specs.4.8"]) == []


def test_all_wrong_file_names_are_in_one_error() -> None:
    spec = make_gem("facter", "1.6.0").spec
    with pytest.raises(CombinedError) as caught:
        build_gem_index({"facter.gem": spec, "FACTER-1.6.0.gem": spec}, deflate=deflate)
    assert [str(error) for error in caught.value.errors] == [
        "FACTER-1.6.0.gem has the specification of facter-1.6.0",
        "facter.gem has the specification of facter-1.6.0",
    ]
    assert caught.value.hint == "rename it to facter-1.6.0.gem"
    with pytest.raises(InputError):
        build_gem_index({"facter.gem": spec}, deflate=deflate)


# Indexes of other programs


def entry(name: Value, version: Value, platform: Value) -> Value:
    return name, version, platform


def version(text: Value) -> Value:
    return UserMarshal(class_name="Gem::Version", value=(text,))


def test_index_of_each_era_is_read() -> None:
    data = build_marshal(
        (
            entry("a", version("1.0"), "ruby"),
            # Ruby 1.8 wrote strings without an encoding, and RubyGems 1.3 versions as objects.
            entry(b"b", Object(class_name="Gem::Version", variables=(("@version", b"2.0"),)), b""),
            entry("c", version("1"), None),
            # Invalid entries.
            entry("a/b", version("1"), "ruby"),
            entry(None, version("1"), "ruby"),
            entry("d", version(None), "ruby"),
            entry("d", None, "ruby"),
            entry("d", version("x"), "ruby"),
            entry("d", version("1"), "a b"),
            entry("d", UserMarshal(class_name="Gem::Version", value=1), "ruby"),
            ("d", version("1")),
            "d",
        )
    )
    assert parse_gem_index(Input(data, name="specs")) == (
        IndexedGem(name="a", version=GemVersion("1.0"), platform="ruby"),
        IndexedGem(name="b", version=GemVersion("2.0"), platform="ruby"),
        IndexedGem(name="c", version=GemVersion("1"), platform="ruby"),
    )


def test_name_is_searched_in_an_unparsed_index() -> None:
    specs = Input(index(*SAMPLE)["specs.4.8"], name="specs")
    assert may_list(specs, "facter")
    assert not may_list(specs, "facte")
    assert not may_list(specs, "rspec")


def test_other_files_are_refused() -> None:
    with pytest.raises(FormatError) as caught:
        parse_gem_index(Input(build_marshal(Hash()), name="specs"))
    assert str(caught.value) == "specs: expected a list of gems, got something else"
    assert caught.value.hint == "the server's index is damaged: use another server"
    with pytest.raises(FormatError, match="expected a gzip member"):
        unpack_gem_index(Input(b"<html>....", name="specs"))


def fields(**changes: Value) -> bytes:
    """Return a specification of Ruby 1.8 and RubyGems 1.3, with changes."""
    made: dict[str, Value] = {
        "rubygems_version": b"1.3.5",
        "specification_version": 3,
        "name": b"old",
        "version": version(b"1.0"),
        "date": UserDefined(class_name="Time", data=b"\x20\xa0\x1b\xc0\0\0\0\0"),
        "summary": b"caf\xe9",
        "required_ruby": UserMarshal(
            class_name="Gem::Requirement", value=(((b">=", version(b"1.8")),), None)
        ),
        "required_rubygems": None,
        "original_platform": b"ruby",
        "dependencies": (),
        "rubyforge_project": b"",
        "email": (b"a@example.org",),
        "authors": (b"A", None),
        "description": None,
        "homepage": None,
        "has_rdoc": True,
        "new_platform": b"ruby",
        **changes,
    }
    data = build_marshal(tuple(made.values()))
    return build_marshal(UserDefined(class_name="Gem::Specification", data=data))


def test_specification_of_an_old_server_is_read() -> None:
    need = Object(
        class_name="Gem::Dependency",
        variables=(
            ("@name", b"json"),
            ("@version_requirement", None),
            (
                "@version_requirements",
                Object(
                    class_name="Gem::Version::Requirement",
                    variables=(
                        ("@requirements", ((Object(class_name="YAML::Syck::DefaultKey"),
                                            version(b"1")),)),
                    ),
                ),
            ),
            ("@type", Symbol("development")),
        ),
    )  # fmt: skip
    found = parse_quick_spec(Input(fields(dependencies=(need,)), name="q"))
    assert found.full_name == "old-1.0"
    assert found.date.isoformat() == "2010-09-01"
    assert found.summary == "café"
    assert found.authors == ("A",)
    assert found.email == ("a@example.org",)
    assert str(found.required_ruby) == ">= 1.8"
    assert str(found.required_rubygems) == ">= 0"
    assert [str(need) for need in found.dependencies] == ["json = 1"]
    assert found.runtime_dependencies == ()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (build_marshal(()), "q: expected a Gem::Specification, got something else"),
        (build_marshal(UserDefined(class_name="Gem::Specification", data=build_marshal((1, 2)))),
         "q: expected an array of 16 fields or more, got something else"),
        (fields(name=b"a/b"), "q: expected a gem's name and version, got something else"),
        (fields(version=None), "q: expected a gem's name and version, got something else"),
        (fields(original_platform=b"a/b"), "q: expected the name of a platform, got 'a/b'"),
        (fields(dependencies=(None,)),
         "q: expected a dependency with the name of a gem, got something else"),
        (fields(required_ruby=UserMarshal(class_name="Gem::Requirement", value=(((b"=>", 1),),))),
         "q: expected a requirement on a version, got '=>' is not a requirement on a version"),
        (fields(required_ruby=UserMarshal(class_name="Gem::Requirement", value=(5,))),
         "q: expected the clauses of a requirement, got something else"),
        (fields(required_ruby=UserMarshal(class_name="Gem::Requirement", value=((5,),))),
         "q: expected a requirement on a version, got '' is not a requirement on a version"),
    ],
)  # fmt: skip
def test_malformed_specification_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse_quick_spec(Input(data, name="q"))
    assert str(caught.value) == message
    assert caught.value.hint == "the server's index is damaged: use another server"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"<html>", ("q: expected a zlib stream, got Error -3 while decompressing data: "
         "incorrect header check")),
        (zlib.compress(fields())[:-3],
         "q: expected a complete zlib stream, got the end of the file"),
        (zlib.compress(bytes(MAX_QUICK_BYTES + 1)),
         "q: expected a specification of at most 16777216 bytes, got more"),
    ],
)  # fmt: skip
def test_damaged_compression_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse_packed_spec(Input(data, name="q"))
    assert str(caught.value) == message
    assert isinstance(caught.value, LimitError) == (len(data) > 10_000)


@pytest.mark.slow
def test_random_damage_raises_only_our_errors() -> None:
    chance = random.Random(7)
    sound = build_quick_spec(SAMPLE[4].spec)
    for _ in range(3000):
        damaged = bytearray(sound)
        for _ in range(chance.randint(1, 3)):
            damaged[chance.randrange(len(damaged))] = chance.choice(b'0TFi"[:;@U\x00\x06\x07\xff')
        with suppress(PurekernelError):
            parse_quick_spec(Input(damaged, name="q"))


# Comparison with gem

COMPARE = """
def told(spec)
  [spec.full_name, spec.original_platform, spec.platform.to_s, spec.platform.class.to_s,
   spec.date.to_s, spec.summary, spec.description, spec.authors, spec.email, spec.homepage,
   spec.licenses, spec.metadata, spec.rubygems_version, spec.specification_version,
   spec.required_ruby_version.as_list, spec.required_rubygems_version.as_list,
   spec.dependencies.map { |d| [d.name, d.type, d.requirement.as_list, d.prerelease?] }]
end
lists = %w[specs latest_specs prerelease_specs].map { |name|
  list = Marshal.load(File.binread("#{ARGV[0]}/#{name}.4.8"))
  packed = Zlib::GzipReader.open("#{ARGV[0]}/#{name}.4.8.gz") { |gz| gz.read }
  raise name unless packed == File.binread("#{ARGV[0]}/#{name}.4.8")
  list.map { |name, version, platform| [name, version.class.to_s, version.to_s, platform] } }
quick = Dir["#{ARGV[0]}/quick/Marshal.4.8/*"].sort.map { |file|
  [File.basename(file), told(Marshal.load(Zlib.inflate(File.binread(file))))] }
puts JSON.generate([lists, quick])
"""


@pytest.mark.oracle
def test_index_equals_that_of_gem_generate_index(tmp_path: Path) -> None:
    gems = [*SAMPLE, make_gem("jay", platform="java"), make_gem("win", platform="x86-mswin32-60")]
    lay_out_server(tmp_path / "ours", gems, compact=False)
    shutil.copytree(tmp_path / "ours" / "gems", tmp_path / "theirs" / "gems")
    gem(tmp_path, "generate_index", "--directory", tmp_path / "theirs")
    ours, theirs = (json.loads(ruby(COMPARE, tmp_path / who)) for who in ("ours", "theirs"))
    assert ours == theirs
    assert [len(found) for found in ours[0]] == [8, 6, 1]
    assert len(ours[1]) == 9


@pytest.mark.oracle
def test_index_of_gem_generate_index_is_read(tmp_path: Path) -> None:
    lay_out_server(tmp_path, SAMPLE, compact=False, older=False)
    gem(tmp_path, "generate_index", "--directory", tmp_path)
    packed = (tmp_path / "specs.4.8.gz").read_bytes()
    found = parse_gem_index(unpack_gem_index(Input(packed, name="specs")))
    assert [entry.full_name for entry in found] == listed(index(*SAMPLE)["specs.4.8"])
    for made in SAMPLE:
        path = tmp_path / "quick" / "Marshal.4.8" / f"{made.spec.full_name}.gemspec.rz"
        assert parse_packed_spec(Input(path.read_bytes(), name="q")) == made.spec


@pytest.mark.oracle
def test_gem_installs_from_our_mirror(tmp_path: Path) -> None:
    mirror = tmp_path / "mirror"
    lay_out_server(mirror, SAMPLE, compact=False)
    source = ("--clear-sources", "--source", mirror.as_uri())
    told = gem(tmp_path, "install", *source, "--no-document", "razor")
    # Development dependencies are not installed; facter 1.10.0 does not meet ~> 1.7.0.
    assert sorted(told.splitlines()) == [
        "3 gems installed",
        "Successfully installed facter-1.7.0",
        "Successfully installed json_pure-1.7.7",
        "Successfully installed razor-0.9",
    ]
    told = gem(tmp_path, "install", *source, "--no-document", "old", "facter:< 1.7")
    assert "Successfully installed old-0.1" in told
    assert "Successfully installed facter-1.6.0" in told
    installed = tmp_path / "gems" / "gems" / "facter-1.7.0" / "lib" / "facter.rb"
    assert installed.read_text() == "FACTER_VERSION = '1.7.0'\n"


@pytest.mark.oracle
def test_gem_queries_our_mirror(tmp_path: Path) -> None:
    mirror = tmp_path / "mirror"
    lay_out_server(mirror, SAMPLE, compact=False)
    source = ("--remote", "--clear-sources", "--source", mirror.as_uri())
    assert gem(tmp_path, "list", *source).splitlines() == [
        "facter (1.10.0)", "json_pure (1.7.7)", "old (0.1)", "razor (0.9)",
    ]  # fmt: skip
    assert "facter (2.0.0.rc1, 1.10.0, 1.7.0, 1.6.0)" in gem(
        tmp_path, "list", "--all", "--prerelease", *source
    )
    assert gem(tmp_path, "dependency", *source, "razor").split("\n\n")[0] == (
        "Gem razor-0.9\n  facter (~> 1.7.0)\n  json_pure (>= 1.7, != 1.7.1)\n"
        "  rspec (>= 0, development)"
    )
    told = gem(tmp_path, "specification", *source, "facter", "--version", "1.7.0")
    assert "date: 2013-07-01 00:00:00.000000000 Z\n" in told
    assert "- Zoë\n" in told


def test_minimal_specification_is_written_and_read() -> None:
    spec = GemSpec(name="a", version=GemVersion("1"))
    assert parse_quick_spec(Input(build_quick_spec(spec), name="q")) == spec
    need = GemDependency(name="b", requirement=GemRequirement.parse("> 1, < 2"))
    more = GemSpec(name="a", version=GemVersion("1"), email=(), dependencies=(need,))
    assert parse_quick_spec(Input(build_quick_spec(more), name="q")) == more
