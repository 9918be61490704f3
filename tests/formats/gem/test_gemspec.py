from __future__ import annotations

import datetime
import random
from contextlib import suppress

import pytest
import yaml

from fixtures.gemspec_yaml import Description, Era, Need, write_gemspec
from purekernel.errors import FormatError, LimitError, PurekernelError
from purekernel.formats.gem import (
    DependencyKind,
    GemDependency,
    GemRequirement,
    GemSpec,
    GemVersion,
    yaml_nodes,
)
from purekernel.formats.gem.reader import parse_gemspec
from purekernel.formats.gem.version import ANY
from purekernel.input import Input

ABOUT = Description(
    name="razor",
    version="0.9.1",
    platform="ruby",
    needs=[Need(name="facter", clauses="~> 1.6, != 1.6.3"), Need(name="json", clauses=">= 0")],
    ruby=">= 1.8.7",
    rubygems=">= 1.3",
    files=["lib/razor.rb"],
)
HINT = "the gem is damaged or too old: download it again, or leave it out"


def parse(text: str | bytes) -> GemSpec:
    data = text.encode() if isinstance(text, str) else text
    return parse_gemspec(Input(data, name="m"))


def spec(more: str) -> GemSpec:
    return parse(f"name: x\nversion: 1.0\n{more}")


@pytest.mark.parametrize("era", list(Era))
def test_specification_of_each_era_is_read(era: Era) -> None:
    found = parse(write_gemspec(ABOUT, era))
    assert (found.name, found.version, found.platform) == ("razor", GemVersion("0.9.1"), "ruby")
    assert found.full_name == "razor-0.9.1"
    assert found.file_name == "razor-0.9.1.gem"
    assert found.dependencies == (
        GemDependency(name="facter", requirement=GemRequirement.parse("~> 1.6, != 1.6.3")),
        GemDependency(name="json"),
    )
    assert found.required_ruby == GemRequirement.parse(">= 1.8.7")
    assert found.date == datetime.date(2013, 7, 1)
    assert found.summary == "Sample of razor"
    facts = (
        found.required_rubygems,
        found.rubygems_version,
        found.specification_version,
        found.email,
        found.homepage,
        found.licenses,
        found.authors,
        found.description,
        found.metadata,
    )
    home = "http://example.org/"
    newer = GemRequirement.parse(">= 1.3")
    assert facts == {
        Era.SYCK: (ANY, "0.8.11", 1, "one@example.org", home, (), ("Sample Author",),
            "A sample.", ()),
        Era.EARLY_PSYCH: (newer, "1.8.24", 3, "one@example.org", None, (), ("Sample Author",),
            "A sample: it does nothing.", ()),
        Era.NOW: (newer, "3.3.15", 4, ("one@example.org", "two@example.org"), home, ("MIT",),
            ("Sample Author", "Zoë"), "A sample.\nIt does nothing.\n",
            (("source_code_uri", "http://example.org/code"),)),
    }[era]  # fmt: skip


def test_kind_of_dependencies_is_read() -> None:
    found = spec(
        "dependencies:\n- name: a\n  type: :development\n- name: b\n  type: !ruby/sym runtime\n"
        "- name: c\n  type: !ruby/symbol development\n- name: d\n  type:\n"
    )
    assert [(need.name, need.kind) for need in found.dependencies] == [
        ("a", DependencyKind.DEVELOPMENT),
        ("b", DependencyKind.RUNTIME),
        ("c", DependencyKind.DEVELOPMENT),
        ("d", DependencyKind.RUNTIME),
    ]
    assert [need.name for need in found.runtime_dependencies] == ["b", "d"]
    assert [str(need) for need in found.dependencies] == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("text", "requirement"),
    [
        ("requirements:\n    - - '>='\n      - version: '1'", ">= 1"),
        ("requirements:\n    - - =\n      - version: 1.10", "= 1.10"),
        ("requirements:\n    - - ! '>='\n      - version: 1", ">= 1"),
        ("requirements:\n    - - '#<YAML::Syck::DefaultKey:0x1>'\n      - version: 1", "= 1"),
        ("requirements:\n    - '>= 1'", ">= 1"),
        ("requirements: []", ">= 0"),
        ("requirements:\n  version: '> 1.2'", "> 1.2"),
        ("version: '> 0.0.0'", "> 0.0.0"),
        ("version:", ">= 0"),
    ],
)
def test_each_form_of_a_requirement_is_read(text: str, requirement: str) -> None:
    found = spec(f"required_ruby_version: !ruby/object:Gem::Version::Requirement\n  {text}\n")
    assert found.required_ruby == GemRequirement.parse(requirement)


def test_requirement_of_each_key_is_read() -> None:
    found = spec(
        "dependencies:\n- name: a\n  version_requirement: '= 1'\n"
        "- name: b\n  version_requirements: '= 2'\n  version_requirement:\n"
        "- name: c\n  requirement: '= 3'\n  version_requirements: '= 4'\n"
    )
    assert [str(need.requirement) for need in found.dependencies] == ["= 1", "= 2", "= 3"]


def test_aliases_are_resolved() -> None:
    found = spec(
        "required_ruby_version: &a\n  requirements:\n  - - '>'\n    - &b\n      version: '2'\n"
        "required_rubygems_version: *a\ndependencies:\n- name: a\n  requirement: *a\n"
    )
    assert str(found.required_rubygems) == "> 2"
    assert str(found.dependencies[0].requirement) == "> 2"


@pytest.mark.parametrize(
    ("text", "platform"),
    [
        ("", "ruby"),
        ("platform:", "ruby"),
        ("platform: ruby", "ruby"),
        ("platform: java", "java"),
        ("platform: mswin32\noriginal_platform: i386-mswin32", "i386-mswin32"),
        ("platform: !ruby/object:Gem::Platform\n  cpu: x86\n  os: linux\n  version:", "x86-linux"),
        ("platform: java\noriginal_platform: ''", "java"),
    ],
)  # fmt: skip
def test_each_form_of_a_platform_is_read(text: str, platform: str) -> None:
    assert spec(text).platform == platform


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("2006-05-02 00:00:00 -04:00", (2006, 5, 2)),
        ("2011-04-26 00:00:00.000000000Z", (2011, 4, 26)),
        ("2011-04-26", (2011, 4, 26)),
        ("'2011-04-26 00:00:00 +02:00'", (2011, 4, 26)),
        ("", (1980, 1, 2)),
        ("2011-02-31", (1980, 1, 2)),
        ("1899-12-31", (1980, 1, 2)),
        ("yesterday", (1980, 1, 2)),
    ],
)
def test_date_is_read_without_time_zone(text: str, date: tuple[int, int, int]) -> None:
    assert spec(f"date: {text}\n").date == datetime.date(*date)


def test_scalars_stay_text() -> None:
    found = parse(
        "name: 12a\nversion: 1.10\nsummary: yes\ndescription: 0x10\nhomepage: 2011-01-01\n"
        "authors:\n- 1\n- ~\n- 'null'\n- [a]\nlicenses: MIT\nspecification_version: '4'\n"
        "metadata:\n  1: 2\n  a: [b]\nemail: ''\nrubygems_version: 1.10\n"
    )
    assert found == GemSpec(
        name="12a", version=GemVersion("1.10"), summary="yes", description="0x10",
        homepage="2011-01-01", authors=("1", "null"), licenses=("MIT",), specification_version=4,
        metadata=(("1", "2"), ("a", "")), email="", rubygems_version="1.10",
    )  # fmt: skip


def test_unusual_text_is_read() -> None:
    found = spec(
        "summary: !binary |\n  w6kgaXQgaXM=\ndescription: !!binary 6Q==\nhomepage: !binary no*\n"
        "authors: !!null\nemail: !str plain\n"
    )
    assert found.summary == "é it is"
    assert found.description == "é"
    assert found.homepage == "no*"
    assert found.authors == ()
    assert found.email == "plain"
    assert parse(b"name: x\nversion: 1\nsummary: caf\xe9\n").summary == "café"


def test_dash_of_a_prerelease_becomes_pre() -> None:
    assert parse("name: x\nversion:\n  version: 1.0-rc1\n").full_name == "x-1.0.pre.rc1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "m: expected YAML, got nothing"),
        ("# nothing", "m: expected YAML, got nothing"),
        ("- a", "m, line 1: expected a specification, got something else"),
        ("version: 1", "m, line 1: expected the name of a gem at 'name', got none"),
        ("version: 1\nname: a b", "m, line 2: expected the name of a gem at 'name', got 'a b'"),
        ("version: 1\nname: ../a", "m, line 2: expected the name of a gem at 'name', got '../a'"),
        ("version: 1\nname: [a]", "m, line 2: expected the name of a gem at 'name', got none"),
        ("name: a", "m, line 1: expected a version at 'version', got none"),
        ("name: a\nversion: v1", "m, line 2: expected a version at 'version', got 'v1'"),
        ("name: a\nversion: 1\nplatform: a/b",
         "m, line 3: expected the name of a platform at 'platform', got 'a/b'"),
        ("name: a\nversion: 1\ndependencies:\n- x",
         "m, line 4: expected a dependency, got something else"),
        ("name: a\nversion: 1\ndependencies:\n- name: x/y",
         "m, line 4: expected the name of a needed gem, got 'x/y'"),
        ("name: a\nversion: 1\nrequired_ruby_version: '=> 1'",
         "m, line 3: expected a requirement on a version, got '=> 1' is not a requirement on"),
        ("name: a\nversion: 1\nrequired_ruby_version:\n  requirements:\n  - [a, b, c]",
         ("m, line 4: expected a requirement on a version, got '' is not a requirement on a "
          "version")),
        ("name: *b", "m, line 1: expected an alias of an earlier value, got *b"),
        ("? [a]\n: b", "m, line 1: expected text as a key, got something else"),
        ("a: b: c", "m, line 1: expected YAML, got mapping values are not allowed "),
        ("a: 'b", "m, line 1: expected YAML, got found unexpected end of stream"),
        ("a: \0", "m: expected YAML, got invalid characters"),
    ],
)  # fmt: skip
def test_malformed_specification_raises_format_error(text: str, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse(text)
    # The rest of the message comes from the YAML library.
    assert str(caught.value).startswith(message)
    assert caught.value.hint == HINT


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: " * 1 + "[" * 40, "m: expected values nested at most 32 deep, got more"),
        ("x" * (4 << 20) + "x", "m: expected at most 4194304 bytes of YAML, got 4194305"),
        ("name: a\nversion: 1\ndependencies: [" + "{name: a}," * 1001 + "]",
         "m: expected at most 1000 dependencies, got 1001"),
        # A few aliases that repeat a long text.
        ("name: a\nversion: 1\nx: &x " + "y" * 40_000 + "\nauthors: [" + "*x," * 30 + "]",
         "m: expected at most 1048576 characters of text, got 1200"),
        ("name: a\nversion: 1\nx: &x " + "y" * 700_000 + "\nmetadata: {a: *x, b: *x}",
         "m: expected at most 1048576 characters of text, got 1400"),
    ],
)  # fmt: skip
def test_specification_beyond_the_limits_is_refused(text: str, message: str) -> None:
    with pytest.raises(LimitError) as caught:
        parse(text)
    assert str(caught.value).startswith(message)
    assert caught.value.hint == "the gem is damaged or hostile: real specifications are smaller"


@pytest.mark.parametrize("loader", [yaml.SafeLoader, yaml_nodes._LOADER])
def test_both_yaml_loaders_give_the_same_result(
    loader: type[yaml.SafeLoader], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(yaml_nodes, "_LOADER", loader)
    for era in Era:
        assert parse(write_gemspec(ABOUT, era)).full_name == "razor-0.9.1"
    for text in ("a: \0", 'a: "\\U00110000"', "a: 'b", "a: b: c", "a: [b", "%YAML 9"):
        with pytest.raises(FormatError, match="expected YAML, got"):
            parse(text)
    with suppress(FormatError):
        assert spec('summary: "\\ud800"').summary == "\ud800"


def test_nested_aliases_take_no_extra_memory() -> None:
    lines = ["name: a", "version: 1", "a0: &a0 [x, x]"]
    lines += [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 200)]
    assert parse("\n".join([*lines, "authors: *a199"])).authors == ()


@pytest.mark.slow
def test_random_damage_raises_only_our_errors() -> None:
    chance = random.Random(6)
    for era in Era:
        sound = write_gemspec(ABOUT, era).encode()
        for _ in range(150):
            damaged = bytearray(sound)
            for _ in range(chance.randint(1, 4)):
                damaged[chance.randrange(len(damaged))] = chance.choice(
                    b"\0\xff\n :-'\"!&*[]{}|>%@`0a"
                )
            with suppress(PurekernelError):
                parse_gemspec(Input(damaged, name="m"))
