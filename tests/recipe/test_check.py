"""A corpus of recipes that are wrong, and what is said of each."""

from __future__ import annotations

import random
from contextlib import suppress

import pytest

from purekernel.errors import CombinedError, RecipeError
from purekernel.formats.toml import parse_toml
from purekernel.recipe.check import MAX_ERRORS, check_recipe
from purekernel.recipe.init import PLAIN, write_recipe
from purekernel.recipe.schema import load_schema


def check(text: str) -> None:
    check_recipe(parse_toml(text.encode(), source="f"))


def wrong(text: str) -> list[tuple[str, str]]:
    """Return the messages and hints for ``text``, without the file's name."""
    with pytest.raises((RecipeError, CombinedError)) as caught:
        check(text)
    errors = caught.value.errors if isinstance(caught.value, CombinedError) else [caught.value]
    assert all(str(error).startswith(("f, ", "f: ")) for error in errors)
    return [(str(error).removeprefix("f, "), error.hint) for error in errors]


CUT = "a path in the extension, with no slash before it and no '..' in it"
CUT_HINT = 'write it as in files = ["usr/local/sbin/sfdisk", "usr/local/bin/lscpu"]'
NAME = "the name of an extension: letters, digits and _ . + ~ -"
FIRST_CHARACTERS = "letters, digits and . + ~ _ -, beginning with a letter or digit, at most 64"
LOGIN = "a login name: at most 32 lower-case letters, digits, _ and -, beginning with a letter or _"
TOP = (
    "it has 'name', 'version', 'flavour', 'timestamp', 'drop-boot', [core], "
    "[mirrors], [extensions], [[cut]], "
    "[[need]], [debian], [gems], [[overlay]], [accounts.tc], [boot], [iso], [razor], [output], "
    "[downloads]"
)
SHA = f'write it as in sha256 = "{"0" * 64}"'
FLAVOUR = 'write it as in flavour = "dev"'

# Each with one thing wrong.
CORPUS = {
    # Keys
    'flavor = "dev"': (
        "line 1: a recipe has no key 'flavor'; the nearest is 'flavour'", "write 'flavour'",
    ),
    "zzz = 1": ("line 1: a recipe has no key 'zzz'", TOP),
    "\n[extentions]\nbuiltin = []": (
        "line 2: a recipe has no table [extentions]; the nearest is [extensions]",
        "write [extensions]",
    ),
    "[[overlays]]\npath = 'x'": (
        "line 1: a recipe has no table [overlays]; the nearest is [[overlay]]", "write [[overlay]]",
    ),
    "[account.tc]": (
        "line 1: a recipe has no table [account]; the nearest is [accounts.tc]",
        "write [accounts.tc]",
    ),
    "[zzz]": ("line 1: a recipe has no table [zzz]", TOP),
    "[extensions]\n\nbuildin = []": (
        "line 3: [extensions] has no key 'buildin'; the nearest is 'builtin'", "write 'builtin'",
    ),
    "extensions.buildin = []": (
        "line 1: [extensions] has no key 'buildin'; the nearest is 'builtin'", "write 'builtin'",
    ),
    "[iso]\nvolume_id = 'x'": (
        "line 2: [iso] has no key 'volume_id'; the nearest is 'volume-id'", "write 'volume-id'",
    ),
    "[boot]\nTimeout = 1": (
        "line 2: [boot] has no key 'Timeout'; the nearest is 'timeout'", "write 'timeout'",
    ),
    "[boot]\nzzz = 1": (
        "line 2: [boot] has no key 'zzz'", "it has 'append', 'timeout', 'default', 'autologin'",
    ),
    "[iso]\nappend = 'x'": (
        "line 2: [iso] has no key 'append'; it belongs in [boot]", "move it there",
    ),
    "append = 'x'": ("line 1: a recipe has no key 'append'; it belongs in [boot]", "move it there"),
    "[boot]\nflavour = 'dev'": (
        "line 2: [boot] has no key 'flavour'; it belongs before the first table", "move it there",
    ),
    "[iso]\nversion = '1'": (
        "line 2: [iso] has no key 'version'; it belongs before the first table or in [core]",
        "move it there",
    ),
    "[output]\nsha256 = 'x'": (
        "line 2: [output] has no key 'sha256'; it belongs in [[overlay]]", "move it there",
    ),
    "[accounts.tc]\npasword = 'hemlig'": (
        "line 2: [accounts.tc] has no key 'pasword'; the nearest is 'password'", "write 'password'",
    ),
    "password = 'hemlig'": (
        "line 1: a recipe has no key 'password'; it belongs in [accounts.tc]", "move it there",
    ),
    "[[overlay]]\npath = 'x'\n[[overlay]]\npath = 'x'\npth = 'y'": (
        "line 5: [[overlay]] has no key 'pth'; the nearest is 'path'", "write 'path'",
    ),
    "[[cut]]\nextension = 'x'\nfiles = ['y']\nurl = 'z'": (
        "line 4: [[cut]] has no key 'url'; it belongs in [[overlay]]", "move it there",
    ),
    "[core]\n'a\\nb' = 1": (
        "line 2: [core] has no key 'a\\\\nb'",
        "it has 'version', 'arch', 'iso', 'iso-sha256', 'kernel'",
    ),
    f"[core]\n{'k' * 200} = 1": (
        f"line 2: [core] has no key '{'k' * 60}'…",
        "it has 'version', 'arch', 'iso', 'iso-sha256', 'kernel'",
    ),
    "[accounts.Anna]": (
        f"line 1: 'Anna' in [accounts] must be {LOGIN}", "give another name",
    ),
    '[accounts."tc\\n"]': (
        f"line 1: 'tc\\n' in [accounts] must be {LOGIN}", "give another name",
    ),
    # Kinds
    "name = 1": ("line 1: 'name' must be text, and is 1", "put it in quotes"),
    "[core]\nversion = 4.4": ("line 2: 'version' must be text, and is 4.4", "put it in quotes"),
    "timestamp = '1'": (
        "line 1: 'timestamp' must be a whole number, and is text",
        "write it in digits, without quotes",
    ),
    "timestamp = 1.5": (
        "line 1: 'timestamp' must be a whole number, and is 1.5",
        "write it in digits, without quotes",
    ),
    "timestamp = true": (
        "line 1: 'timestamp' must be a whole number, and is true",
        "write it in digits, without quotes",
    ),
    "timestamp = 2023-11-14T22:13:20Z": (
        "line 1: 'timestamp' must be a whole number, and is a date or time",
        "write it in digits, without quotes",
    ),
    "[downloads]\nstall-seconds = nan": (
        "line 2: 'stall-seconds' must be a number, and is NaN",
        "write it in digits, without quotes",
    ),
    "[downloads]\nstall-seconds = inf": (
        "line 2: 'stall-seconds' must be a number, and is Infinity",
        "write it in digits, without quotes",
    ),
    "[boot]\nautologin = 'yes'": (
        "line 2: 'autologin' must be true or false, and is text",
        "write true or false, without quotes",
    ),
    "[extensions]\nbuiltin = 'bash.tcz'": (
        "line 2: 'builtin' must be an array, and is text",
        "put it in brackets, with commas between its items",
    ),
    "[extensions]\nbuiltin = [\n'bash.tcz',\n5,\n]": (
        "line 4: item 2 of 'builtin' must be text, and is 5", "put it in quotes",
    ),
    "[gems]\nwanted = [['a']]": (
        "line 2: item 1 of 'wanted' must be text, and is an array", "put it in quotes",
    ),
    "boot = 5": (
        "line 1: 'boot' must be a table, and is 5", "write [boot] on a line above its keys",
    ),
    "[[core]]": (
        "line 1: 'core' must be a table, and is an array of tables",
        "write [core] on a line above its keys",
    ),
    "[overlay]\npath = 'x'": (
        "line 1: 'overlay' must be an array of tables, and is a table",
        "write [[overlay]], in double brackets",
    ),
    "overlay = 'x'": (
        "line 1: 'overlay' must be an array of tables, and is text",
        "write [[overlay]], in double brackets",
    ),
    "overlay = ['x']": (
        "line 1: item 1 of 'overlay' must be a table, and is text",
        "write [[overlay]] on a line above its keys",
    ),
    "[accounts]\npassword = 'hemlig'": (
        "line 2: 'password' must be a table, and is text",
        "write [accounts.tc] on a line above its keys",
    ),
    "accounts = []": (
        "line 1: 'accounts' must be a table, and is an array",
        "write [accounts.tc] on a line above its keys",
    ),
    "[accounts.tc]\npassword = 1234": (
        "line 2: 'password' must be text, and is a number", "put it in quotes",
    ),
    # Choices
    "flavour = 'prd'": (
        "line 1: 'flavour' must be dev, prod or debug, and is \"prd\"; the nearest is prod",
        FLAVOUR,
    ),
    "flavour = 'x'": ("line 1: 'flavour' must be dev, prod or debug, and is \"x\"", FLAVOUR),
    "flavour = 5": ("line 1: 'flavour' must be dev, prod or debug, and is 5", FLAVOUR),
    "flavour = ['dev']": (
        "line 1: 'flavour' must be dev, prod or debug, and is an array", FLAVOUR,
    ),
    "[core]\narch = 'x64'": (
        "line 2: 'arch' must be x86 or x86_64, and is \"x64\"; the nearest is x86_64",
        'write it as in arch = "x86"',
    ),
    "[output]\nemit = ['iso', 'usb']": (
        "line 2: item 2 of 'emit' must be iso, core or pxe, and is \"usb\"",
        'write it as in emit = ["iso", "pxe"]',
    ),
    # Values
    "name = ''": (
        f"line 1: 'name' must be {FIRST_CHARACTERS}, and is empty",
        'write it as in name = "my-core"',
    ),
    "name = 'a/b'": (
        f"line 1: 'name' must be {FIRST_CHARACTERS}, and is \"a/b\"",
        'write it as in name = "my-core"',
    ),
    'name = "a\\n"': (
        f"line 1: 'name' must be {FIRST_CHARACTERS}, and is \"a\\n\"",
        'write it as in name = "my-core"',
    ),
    f"name = '{'x' * 100}'": (
        f"line 1: 'name' must be {FIRST_CHARACTERS}, and is \"{'x' * 59}…",
        'write it as in name = "my-core"',
    ),
    "timestamp = -1": (
        "line 1: 'timestamp' must be a whole number of seconds from 0 to 4294967295, and is -1",
        "write it as in timestamp = 1700000000",
    ),
    "timestamp = 0xFFFFFFFFFFFFFFFFFFFF": (
        ("line 1: 'timestamp' must be a whole number of seconds from 0 to 4294967295, "
        "and is 1208925819614629174706175"),
        "write it as in timestamp = 1700000000",
    ),
    "[core]\nversion = '4'": (
        ("line 2: 'version' must be a series such as \"4.x\", or a release such as \"4.4\" or "
        '"4.7.7", and is "4"'),
        'write it as in version = "4.x"',
    ),
    "[core]\niso-sha256 = 'abc'": (
        "line 2: 'iso-sha256' must be 64 hexadecimal digits, and is \"abc\"",
        f"write it as in iso-sha256 = \"{'0' * 64}\"",
    ),
    "[mirrors]\ntinycore = [\n  'http://u:hemlig@mirror.example/ ']": (
        ("line 3: item 1 of 'tinycore' must be a URL or a path, "
        'and is "http://…@mirror.example/ "'),
        ("write it as in "
        'tinycore = ["http://distro.ibiblio.org/tinycorelinux", "../mirror/tinycorelinux"]'),
    ),
    "[extensions]\nmirror = ['a b']": (
        f"line 2: item 1 of 'mirror' must be {NAME}, and is \"a b\"",
        'write it as in mirror = ["fuse.tcz", "glib2.tcz"]',
    ),
    "[[cut]]\nextension = 'x'\nfiles = ['/usr/x']": (
        f"line 3: item 1 of 'files' must be {CUT}, and is \"/usr/x\"", CUT_HINT,
    ),
    "[[cut]]\nextension = 'x'\nfiles = ['usr/../..']": (
        f"line 3: item 1 of 'files' must be {CUT}, and is \"usr/../..\"", CUT_HINT,
    ),
    "[[cut]]\nextension = 'x'\nfiles = []": ("line 3: 'files' must not be empty", CUT_HINT),
    "[gems]\nwanted = ['>= 1']": (
        ("line 2: item 1 of 'wanted' must be a gem's name, and what its version must be, such as "
        '"json_pure >= 1.7.7", and is ">= 1"'),
        'write it as in wanted = ["facter", "json_pure >= 1.7.7"]',
    ),
    "[[overlay]]\nurl = 'ftp://x/y'": (
        ("line 2: 'url' must be a URL that begins with http://, https:// or file://, "
        'and is "ftp://x/y"'),
        'write it as in url = "https://mirror.example/site.tar.gz"',
    ),
    "[[overlay]]\npath = 'x'\nsha256 = 'x'": (
        "line 3: 'sha256' must be 64 hexadecimal digits, and is \"x\"", SHA,
    ),
    '[accounts.tc]\npassword = "hem\\nlig"': (
        "line 2: 'password' must be text on one line, of at least 1 and at most 256 characters",
        'write it as in password = "test1234"',
    ),
    "[accounts.tc]\npassword-hash = 'hemlig'": (
        ("line 2: 'password-hash' must be a hash as /etc/shadow has it, "
        "such as one that begins with $6$"),
        ("write it as in password-hash = "
        '"$6$saltsalt$diqEm1MZaAfvmRGID6/fuBsSANgy545QfioEs29fE.nbIw4xah49Ul9WWGeLyGBddflSIa1rLrr6'
        'fcxv9xyYK0"'),
    ),
    "[accounts.tc]\npassword-env = '$TC'": (
        "line 2: 'password-env' must be the name of an environment variable, and is \"$TC\"",
        'write it as in password-env = "TC_PASSWORD"',
    ),
    "[accounts.tc]\nuid = 4294967295": (
        "line 2: 'uid' must be a whole number from 0 to 4294967294, and is 4294967295",
        "write it as in uid = 1002",
    ),
    "[accounts.tc]\nshell = 'sh'": (
        ("line 2: 'shell' must be a path that begins with a slash and has no colon in it, "
        'and is "sh"'),
        'write it as in shell = "/bin/sh"',
    ),
    '[boot]\nappend = "a\\nb"': (
        "line 2: 'append' must be text on one line, of at most 2047 characters, and is \"a\\nb\"",
        'write it as in append = "console=ttyS0"',
    ),
    '[boot]\nappend = "a\\u0000"': (
        ("line 2: 'append' must be text on one line, of at most 2047 characters, "
        'and is "a\\u0000"'),
        'write it as in append = "console=ttyS0"',
    ),
    "[boot]\ntimeout = 35997": (
        ("line 2: 'timeout' must be a whole number of tenths of a second, from 0 to 35996, "
        "and is 35997"),
        "write it as in timeout = 100",
    ),
    f"[iso]\nvolume-id = '{'x' * 33}'": (
        (f"line 2: 'volume-id' must be text on one line, of at most 32 characters, "
        f"and is \"{'x' * 33}\""),
        'write it as in volume-id = "MY CORE"',
    ),
    "[razor]\nproject = ''": (
        "line 2: 'project' must be a URL or a path, and is empty",
        'write it as in project = "../Razor-Microkernel"',
    ),
    "[razor]\nproject = 'x'\nmcollective = true": (
        "line 3: 'mcollective' must be a URL or a path, or false to leave it out, and is true",
        "write it as in mcollective = false",
    ),
    "[razor]\nproject = 'x'\nrubygems = ''": (
        "line 3: 'rubygems' must be a URL or a path, or false to leave it out, and is empty",
        'write it as in rubygems = "https://rubygems.org/rubygems/rubygems-1.8.24.tgz"',
    ),
    "[downloads]\nparallel = 0": (
        "line 2: 'parallel' must be a whole number from 1 to 64, and is 0",
        "write it as in parallel = 8",
    ),
    "[downloads]\nconnect-seconds = 0": (
        "line 2: 'connect-seconds' must be a number of seconds, from 0.001 to 604800, and is 0",
        "write it as in connect-seconds = 10",
    ),
    # What is missing, and what excludes each other
    "[razor]\nssh-host-keys = true": (
        "line 1: [razor] needs 'project'", 'write it as in project = "../Razor-Microkernel"',
    ),
    "[[cut]]\nfiles = ['x']": (
        "line 1: [[cut]] needs 'extension'", 'write it as in extension = "util-linux.tcz"',
    ),
    "[[cut]]\nextension = 'x'": ("line 1: [[cut]] needs 'files' or 'list'", CUT_HINT),
    "\n[[overlay]]\nkeep-owners = true": (
        "line 2: [[overlay]] needs 'path' or 'url'", 'write it as in path = "site"',
    ),
    "[[overlay]]\npath = 'x'\nurl = 'http://x/y'": (
        "line 3: 'path' and 'url' in [[overlay]] exclude each other", "keep one of the two",
    ),
    "[accounts.tc]\npassword = 'hemlig'\npassword-env = 'X'": (
        "line 3: 'password' and 'password-env' in [accounts.tc] exclude each other",
        "keep one of the two",
    ),
    "[accounts.tc]\npassword-hash = '$6$a$b'\npassword = 'hemlig'": (
        "line 2: 'password' and 'password-hash' in [accounts.tc] exclude each other",
        "keep one of the two",
    ),
    "[accounts.tc]\nlocked = true\npassword = 'hemlig'": (
        "line 3: 'locked' and 'password' in [accounts.tc] exclude each other",
        "keep one of the two",
    ),
}  # fmt: skip


@pytest.mark.parametrize("text", CORPUS)
def test_one_thing_that_is_wrong_is_said_in_words(text: str) -> None:
    assert wrong(text) == [CORPUS[text]]
    assert "hemlig" not in str(wrong(text))


@pytest.mark.parametrize(
    "text",
    [
        "",
        write_recipe(PLAIN),
        "[accounts.tc]\nlocked = false\npassword = 'x'",
        "[accounts.tc]\nlocked = false",
        "[accounts.tc]\npassword-hash = 'abJnggxhB/yWI'",
        "[core]\nversion = '15.0'\n[gems]\nruby = '2.0.0'",
        "accounts = {}\noverlay = []\ncut = []",
        "[[cut]]\nextension = 'x'\nfiles = ['usr/..x/*.so.[0-9]', '...']",
        "[boot]\nappend = ''",
    ],
)
def test_what_is_right_passes(text: str) -> None:
    check(text)


def test_all_is_told_in_the_order_of_the_lines() -> None:
    text = """\
zzz = 1
flavour = 'x'
[extensions]
builtin = ['a b', 'c',
  'd e']
buildin = 1
[core]
version = 4
"""
    lines = [message.split(":")[0] for message, _hint in wrong(text)]
    assert lines == ["line 1", "line 2", "line 4", "line 5", "line 6", "line 8"]


def test_no_more_is_told_than_anyone_would_read() -> None:
    for text in (
        "\n".join(f"k{number} = 1" for number in range(5000)),
        f"[extensions]\nbuiltin = [{'5,' * 40_000}]",
    ):
        told = wrong(text)
        assert len(told) == MAX_ERRORS + 1
        assert told[-1][0] == "f: there are more like these"


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        f"[output]\nemit = [{'[],' * 40_000}]",
        "[razor]\nproject = '" + "a " * 400_000 + "'",
        "[[cut]]\nextension = 'x'\nfiles = [\"" + "a/" * 400_000 + '\\u0001"]',
        "[gems]\nlayout = '" + "mirror" * 100_000 + "'",
        "[accounts." + "a" * 900_000 + "]",
    ],
)
def test_large_recipes_are_refused_briefly(text: str) -> None:
    assert all(len(message) < 250 for message, _hint in wrong(text))


def test_whatever_stands_there_is_refused_in_words() -> None:
    """Every key is given every kind of value."""
    values = ("1", "'x'", "true", "[]", "{}", "[{}]", "['']", "1.5", "nan", "1979-05-27", "''")
    chance = random.Random(0)
    refused = 0
    for table, schema in load_schema()["properties"].items():
        for key in (None, *schema.get("properties", ())):
            for value in (*values, f"'{chance.randbytes(20).hex()}'"):
                text = f"{table} = {value}" if key is None else f"[{table}]\n{key} = {value}"
                with suppress(RecipeError, CombinedError):
                    check(text)
                    continue
                refused += 1
                for message, hint in wrong(text):
                    assert message.startswith("line ")
                    assert hint
    assert refused > 500
