from __future__ import annotations

import pytest

from purekernel.errors import CombinedError, RecipeError
from purekernel.formats.gem import GemRequirement, ListedGem, parse_gem_list, parse_listed_gem
from purekernel.input import Input


def shown(text: str | bytes) -> list[str]:
    data = text.encode() if isinstance(text, str) else text
    return [str(gem) for gem in parse_gem_list(Input(data, name="gem.list"))]


def test_names_and_requirements_are_read() -> None:
    gems = parse_gem_list(Input(b"bundler\njson_pure  >= 1.7.7\n", name="gem.list"))
    assert gems == (
        ListedGem(name="bundler", requirement=GemRequirement.parse(">= 0"), place=""),
        ListedGem(name="json_pure", requirement=GemRequirement.parse(">= 1.7.7"), place=""),
    )
    assert [gem.place for gem in gems] == ["gem.list, line 1", "gem.list, line 2"]


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("facter", "facter"),
        ("  facter\t", "facter"),
        ("facter 1.6.10", "facter = 1.6.10"),
        ("facter = 1.6.10", "facter = 1.6.10"),
        ("facter ~> 1.6, != 1.6.3", "facter ~> 1.6, != 1.6.3"),
        ("facter >= 1 < 2", "facter >= 1, < 2"),
        ("facter >=1&<2", "facter >= 1, < 2"),
        ("facter>=1", "facter >= 1"),
        ("facter >= 1, 1.5", "facter >= 1, = 1.5"),
        ("facter >= 2.0.0.rc1 # the first with it", "facter >= 2.0.0.rc1"),
        ("net-ssh.x_y", "net-ssh.x_y"),
        ("net-ssh-2", "net-ssh-2"),
    ],
)
def test_each_form_of_a_line_is_read(line: str, meant: str) -> None:
    assert shown(line + "\n") == [meant]
    assert str(parse_listed_gem(line.partition("#")[0], place="here")) == meant


def test_blank_lines_and_comments_are_skipped() -> None:
    assert shown("\n  \n# all of it\n  # indented\n\t\nbundler\n") == ["bundler"]
    assert shown("") == []
    assert shown("# no gems\n") == []


def test_list_with_windows_line_ends_is_read() -> None:
    assert shown(b"\xef\xbb\xbfbundler\r\n\r\njson >= 1 # x\r\n") == ["bundler", "json >= 1"]


def test_repeated_name_is_kept() -> None:
    assert shown("json >= 1\njson < 2\n") == ["json >= 1", "json < 2"]


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        (b"-json", "expected the name of a gem, got '-json'"),
        (b">= 1", "expected the name of a gem, got '>= 1'"),
        (b"../json", "expected the name of a gem, got '../json'"),
        (b"json/x", "expected a requirement on the version, got '/x'"),
        (b"json# 1", "expected a requirement on the version, got '# 1'"),
        (b"json => 1", "expected a requirement on the version, got '=> 1'"),
        (b"json >= 1,", "expected a requirement on the version, got nothing"),
        (b"json >=", "expected a requirement on the version, got '>='"),
        (b"json >= one", "expected a requirement on the version, got '>= one'"),
        (b"json 1 2", "expected a requirement on the version, got '1 2'"),
        (b"json >= 1_0", "expected a requirement on the version, got '>= 1_0'"),
        (b"json \xff", r"expected UTF-8, got 'json \xff'"),
        ("jsön".encode(), "expected a requirement on the version, got 'ön'"),
        (b"a" * 151, f"expected the name of a gem, got '{'a' * 60}'"),
        (
            b"json " + b",".join(b"!= %d" % number for number in range(101)),
            "a requirement has 1 to 100 clauses, not 101",
        ),
    ],
)
def test_malformed_line_raises_recipe_error(line: bytes, wrong: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_gem_list(Input(b"bundler\n" + line + b"\n", name="gem.list"))
    assert str(caught.value) == f"gem.list, line 2: {wrong}"
    assert caught.value.hint == (
        "write a name and a requirement on its version: 'json_pure >= 1.7.7, < 2'"
    )


def test_all_malformed_lines_are_in_one_error() -> None:
    with pytest.raises(CombinedError) as caught:
        parse_gem_list(Input(b"-a\nbundler\njson => 1\n", name="gem.list"))
    assert [str(error) for error in caught.value.errors] == [
        "gem.list, line 1: expected the name of a gem, got '-a'",
        "gem.list, line 3: expected a requirement on the version, got '=> 1'",
    ]


def test_empty_text_is_refused() -> None:
    with pytest.raises(RecipeError) as caught:
        parse_listed_gem("", place="purekernel.toml, gems")
    assert str(caught.value) == "purekernel.toml, gems: expected the name of a gem, got nothing"
