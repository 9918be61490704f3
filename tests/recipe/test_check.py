"""Test a corpus of invalid recipes, with exact messages and hints."""

from __future__ import annotations

import random
from contextlib import suppress

import pytest

from purekernel.errors import CombinedError, RecipeError
from purekernel.formats.toml import parse_toml
from purekernel.input import Input
from purekernel.recipe.check import MAX_ERRORS, check_recipe
from purekernel.recipe.init import PLAIN, write_recipe
from purekernel.recipe.schema import build_schema


def check(text: str) -> None:
    check_recipe(parse_toml(Input(text.encode(), name="f")))


def wrong(text: str) -> list[tuple[str, str]]:
    """Return the messages and hints for ``text``, without the name of the file."""
    with pytest.raises((RecipeError, CombinedError)) as caught:
        check(text)
    errors = caught.value.errors if isinstance(caught.value, CombinedError) else [caught.value]
    assert all(str(error).startswith(("f, ", "f: ")) for error in errors)
    return [(str(error).removeprefix("f, "), error.hint) for error in errors]


CUT = "a path in the extension, without a leading slash or '..'"
CUT_HINT = 'write, for example, files = ["usr/local/sbin/sfdisk", "usr/local/bin/lscpu"]'
NAME = "the name of an extension: letters, digits and _ . + ~ -"
FIRST_CHARACTERS = "letters, digits and . + ~ _ -, beginning with a letter or digit, at most 64"
LOGIN = "a login name: at most 32 lower-case letters, digits, _ and -, beginning with a letter or _"
TOP = (
    "use one of 'extends', 'discard', 'name', 'version', 'flavour', 'timestamp', 'drop-boot', "
    "[core], [mirrors], [extensions], [[cut]], "
    "[[need]], [[checksum]], [debian], [gems], [[overlay]], [accounts.tc], [groups.backup], "
    "[system], [[remove]], [[file]], [[edit]], [[link]], [[attributes]], [boot], [iso], "
    "[rootfs], [disk], [oci], [razor], [output], [findings], [downloads]"
)
SHA = f'write, for example, sha256 = "{"0" * 64}"'
FLAVOUR = 'write, for example, flavour = "dev"'

# Recipes with one problem each.
CORPUS = {
    # Keys
    'flavor = "dev"': (
        "line 1: unknown key 'flavor' in the recipe; did you mean 'flavour'?", "write 'flavour'",
    ),
    "zzz = 1": ("line 1: unknown key 'zzz' in the recipe", TOP),
    "\n[extentions]\nbuiltin = []": (
        "line 2: unknown table [extentions] in the recipe; did you mean [extensions]?",
        "write [extensions]",
    ),
    "[[overlays]]\npath = 'x'": (
        "line 1: unknown table [overlays] in the recipe; did you mean [[overlay]]?",
        "write [[overlay]]",
    ),
    "[account.tc]": (
        "line 1: unknown table [account] in the recipe; did you mean [accounts.tc]?",
        "write [accounts.tc]",
    ),
    "[zzz]": ("line 1: unknown table [zzz] in the recipe", TOP),
    "[extensions]\n\nbuildin = []": (
        "line 3: unknown key 'buildin' in [extensions]; did you mean 'builtin'?", "write 'builtin'",
    ),
    "extensions.buildin = []": (
        "line 1: unknown key 'buildin' in [extensions]; did you mean 'builtin'?", "write 'builtin'",
    ),
    "[iso]\nvolume_id = 'x'": (
        "line 2: unknown key 'volume_id' in [iso]; did you mean 'volume-id'?", "write 'volume-id'",
    ),
    "[boot]\nTimeout = 1": (
        "line 2: unknown key 'Timeout' in [boot]; did you mean 'timeout'?", "write 'timeout'",
    ),
    "[boot]\nzzz = 1": (
        "line 2: unknown key 'zzz' in [boot]",
        "use one of 'append', 'serial', 'timeout', 'default', 'autologin', [boot.efi]",
    ),
    "[iso]\nappend = 'x'": (
        "line 2: unknown key 'append' in [iso]; it belongs in [[edit]] or in [boot]",
        "move it there",
    ),
    "append = 'x'": (
        "line 1: unknown key 'append' in the recipe; it belongs in [[edit]] or in [boot]",
        "move it there",
    ),
    "[boot]\nflavour = 'dev'": (
        "line 2: unknown key 'flavour' in [boot]; it belongs before the first table",
        "move it there",
    ),
    "[iso]\nversion = '1'": (
        "line 2: unknown key 'version' in [iso]; it belongs before the first table or in [core]",
        "move it there",
    ),
    "[output]\nsha256 = 'x'": (
        (
            "line 2: unknown key 'sha256' in [output]; it belongs in [[checksum]], in [[overlay]], "
            "in [[boot.efi.file]] or in [[iso.file]]"
        ),
        "move it there",
    ),
    "[accounts.tc]\npasword = 'hemlig'": (
        "line 2: unknown key 'pasword' in [accounts.tc]; did you mean 'password'?",
        "write 'password'",
    ),
    "password = 'hemlig'": (
        "line 1: unknown key 'password' in the recipe; it belongs in [accounts.tc]",
        "move it there",
    ),
    "[[overlay]]\npath = 'x'\n[[overlay]]\npath = 'x'\npth = 'y'": (
        "line 5: unknown key 'pth' in [[overlay]]; did you mean 'path'?", "write 'path'",
    ),
    "[iso]\nfile = 1": (
        "line 2: 'file' must be an array of tables, got 1",
        "write [[iso.file]], in double brackets",
    ),
    "[iso]\nfiles = 1": (
        "line 2: unknown key 'files' in [iso]; did you mean [[iso.file]]?", "write [[iso.file]]",
    ),
    "[[iso.file]]\npath = 'x'": (
        "line 1: [[iso.file]] must have 'source', 'text' or 'url'",
        'write, for example, source = "iso/boot.msg"',
    ),
    "[iso]\n[[iso.file]]\npath = 'a/../b'\ntext = ''": (
        (
            "line 3: 'path' must be a path on the ISO, without a leading slash, '.' or '..', "
            'got "a/../b"'
        ),
        'write, for example, path = "boot/isolinux/boot.msg"',
    ),
    "[extensions]\ncopy2fs = ['a']\ncopy2fs-all = true": (
        "line 3: [extensions] cannot have both 'copy2fs' and 'copy2fs-all'", "keep one of the two",
    ),
    "[[cut]]\nextension = 'x'\nfiles = ['y']\nurl = 'z'": (
        "line 4: unknown key 'url' in [[cut]]; it belongs in [[overlay]] or in [[iso.file]]",
        "move it there",
    ),
    "[core]\n'a\\nb' = 1": (
        "line 2: unknown key 'a\\\\nb' in [core]",
        ("use one of 'version', 'edition', 'arch', 'iso', 'iso-sha256', 'kernel', 'kernel-sha256', "
        "'initrd', 'initrd-sha256', 'layout', 'kernel-release'"),
    ),
    f"[core]\n{'k' * 200} = 1": (
        f"line 2: unknown key '{'k' * 60}'… in [core]",
        ("use one of 'version', 'edition', 'arch', 'iso', 'iso-sha256', 'kernel', 'kernel-sha256', "
        "'initrd', 'initrd-sha256', 'layout', 'kernel-release'"),
    ),
    "[accounts.Anna]": (
        f"line 1: 'Anna' in [accounts] must be {LOGIN}", "choose another name",
    ),
    '[accounts."tc\\n"]': (
        f"line 1: 'tc\\n' in [accounts] must be {LOGIN}", "choose another name",
    ),
    # Types
    "name = 1": ("line 1: 'name' must be text, got 1", "put it in quotes"),
    "[core]\nversion = 4.4": ("line 2: 'version' must be text, got 4.4", "put it in quotes"),
    "timestamp = '1'": (
        "line 1: 'timestamp' must be a whole number, got text",
        "write it in digits, without quotes",
    ),
    "timestamp = 1.5": (
        "line 1: 'timestamp' must be a whole number, got 1.5",
        "write it in digits, without quotes",
    ),
    "timestamp = true": (
        "line 1: 'timestamp' must be a whole number, got true",
        "write it in digits, without quotes",
    ),
    "timestamp = 2023-11-14T22:13:20Z": (
        "line 1: 'timestamp' must be a whole number, got a date or time",
        "write it in digits, without quotes",
    ),
    "[downloads]\nstall-seconds = nan": (
        "line 2: 'stall-seconds' must be a number, got NaN",
        "write it in digits, without quotes",
    ),
    "[downloads]\nstall-seconds = inf": (
        "line 2: 'stall-seconds' must be a number, got Infinity",
        "write it in digits, without quotes",
    ),
    "[boot]\nautologin = 'yes'": (
        "line 2: 'autologin' must be true or false, got text",
        "write true or false, without quotes",
    ),
    "[extensions]\nbuiltin = 'bash.tcz'": (
        "line 2: 'builtin' must be an array, got text",
        "put it in brackets, with commas between its items",
    ),
    "[extensions]\nbuiltin = [\n'bash.tcz',\n5,\n]": (
        "line 4: item 2 of 'builtin' must be text, got 5", "put it in quotes",
    ),
    "[gems]\nwanted = [['a']]": (
        "line 2: item 1 of 'wanted' must be text, got an array", "put it in quotes",
    ),
    "boot = 5": (
        "line 1: 'boot' must be a table, got 5", "write [boot] on a line above its keys",
    ),
    "[[core]]": (
        "line 1: 'core' must be a table, got an array of tables",
        "write [core] on a line above its keys",
    ),
    "[overlay]\npath = 'x'": (
        "line 1: 'overlay' must be an array of tables, got a table",
        "write [[overlay]], in double brackets",
    ),
    "overlay = 'x'": (
        "line 1: 'overlay' must be an array of tables, got text",
        "write [[overlay]], in double brackets",
    ),
    "overlay = ['x']": (
        "line 1: item 1 of 'overlay' must be a table, got text",
        "write [[overlay]] on a line above its keys",
    ),
    "[accounts]\npassword = 'hemlig'": (
        "line 2: 'password' must be a table, got text",
        "write [accounts.tc] on a line above its keys",
    ),
    "accounts = []": (
        "line 1: 'accounts' must be a table, got an array",
        "write [accounts.tc] on a line above its keys",
    ),
    "[accounts.tc]\npassword = 1234": (
        "line 2: 'password' must be text, got a number", "put it in quotes",
    ),
    # Choices
    "flavour = 'prd'": (
        "line 1: 'flavour' must be dev, prod or debug, got \"prd\"; did you mean prod?",
        FLAVOUR,
    ),
    "flavour = 'x'": ("line 1: 'flavour' must be dev, prod or debug, got \"x\"", FLAVOUR),
    "flavour = 5": ("line 1: 'flavour' must be dev, prod or debug, got 5", FLAVOUR),
    "flavour = ['dev']": (
        "line 1: 'flavour' must be dev, prod or debug, got an array", FLAVOUR,
    ),
    "[core]\nedition = 'TinyCorPure64'": (
        ("line 2: 'edition' must be Core, TinyCore, CorePlus, CorePure64 or TinyCorePure64, got "
        '"TinyCorPure64"; did you mean TinyCorePure64?'),
        'write, for example, edition = "TinyCore"',
    ),
    "[core]\nedition = 'Core'\niso = 'x.iso'": (
        "line 3: [core] cannot have both 'edition' and 'iso'",
        "keep one of the two",
    ),
    "[core]\narch = 'x64'": (
        "line 2: 'arch' must be x86 or x86_64, got \"x64\"; did you mean x86_64?",
        'write, for example, arch = "x86"',
    ),
    "[output]\nemit = ['iso', 'usb']": (
        (
            "line 2: item 2 of 'emit' must be iso, core, initrd, pxe, tce, rootfs, oci, disk, "
            'sbom or provenance, got "usb"'
        ),
        'write, for example, emit = ["iso", "pxe"]',
    ),
    # Values
    "name = ''": (
        f"line 1: 'name' must be {FIRST_CHARACTERS}, got empty",
        'write, for example, name = "my-core"',
    ),
    "name = 'a/b'": (
        f"line 1: 'name' must be {FIRST_CHARACTERS}, got \"a/b\"",
        'write, for example, name = "my-core"',
    ),
    'name = "a\\n"': (
        f"line 1: 'name' must be {FIRST_CHARACTERS}, got \"a\\n\"",
        'write, for example, name = "my-core"',
    ),
    f"name = '{'x' * 100}'": (
        f"line 1: 'name' must be {FIRST_CHARACTERS}, got \"{'x' * 59}…",
        'write, for example, name = "my-core"',
    ),
    "timestamp = -1": (
        "line 1: 'timestamp' must be a whole number of seconds from 0 to 4294967295, got -1",
        "write, for example, timestamp = 1700000000",
    ),
    "timestamp = 0xFFFFFFFFFFFFFFFFFFFF": (
        ("line 1: 'timestamp' must be a whole number of seconds from 0 to 4294967295, "
        "got 1208925819614629174706175"),
        "write, for example, timestamp = 1700000000",
    ),
    "[core]\nversion = '4'": (
        ("line 2: 'version' must be a series such as \"4.x\", or a release such as \"4.4\" or "
        '"4.7.7", got "4"'),
        'write, for example, version = "4.x"',
    ),
    "[core]\niso-sha256 = 'abc'": (
        "line 2: 'iso-sha256' must be 64 hexadecimal digits, got \"abc\"",
        f"write, for example, iso-sha256 = \"{'0' * 64}\"",
    ),
    "[mirrors]\ntinycore = [\n  'http://u:hemlig@mirror.example/ ']": (
        ("line 3: item 1 of 'tinycore' must be a URL or a path, "
        'got "http://…@mirror.example/ "'),
        ("write, for example, "
        'tinycore = ["https://distro.ibiblio.org/tinycorelinux", "../mirror/tinycorelinux"]'),
    ),
    "[extensions]\nmirror = ['a b']": (
        f"line 2: item 1 of 'mirror' must be {NAME}, got \"a b\"",
        'write, for example, mirror = ["fuse.tcz", "glib2.tcz"]',
    ),
    "[[cut]]\nextension = 'x'\nfiles = ['/usr/x']": (
        f"line 3: item 1 of 'files' must be {CUT}, got \"/usr/x\"", CUT_HINT,
    ),
    "[[cut]]\nextension = 'x'\nfiles = ['usr/../..']": (
        f"line 3: item 1 of 'files' must be {CUT}, got \"usr/../..\"", CUT_HINT,
    ),
    "[[cut]]\nextension = 'x'\nfiles = []": ("line 3: 'files' must not be empty", CUT_HINT),
    "[gems]\nwanted = ['>= 1']": (
        ("line 2: item 1 of 'wanted' must be a gem name, optionally with version requirements, "
        'such as "json_pure >= 1.7.7", got ">= 1"'),
        'write, for example, wanted = ["facter", "json_pure >= 1.7.7"]',
    ),
    "[[overlay]]\nurl = 'ftp://x/y'": (
        ("line 2: 'url' must be a URL that begins with http://, https:// or file://, "
        'got "ftp://x/y"'),
        'write, for example, url = "https://mirror.example/site.tar.gz"',
    ),
    "[[overlay]]\npath = 'x'\nsha256 = 'x'": (
        "line 3: 'sha256' must be 64 hexadecimal digits, got \"x\"", SHA,
    ),
    '[accounts.tc]\npassword = "hem\\nlig"': (
        "line 2: 'password' must be text on one line, of at least 1 and at most 256 characters",
        'write, for example, password = "test1234"',
    ),
    "[accounts.tc]\npassword-hash = 'hemlig'": (
        ("line 2: 'password-hash' must be a hash in the form of /etc/shadow, "
        "such as one that begins with $6$"),
        ("write, for example, password-hash = "
        '"$6$saltsalt$diqEm1MZaAfvmRGID6/fuBsSANgy545QfioEs29fE.nbIw4xah49Ul9WWGeLyGBddflSIa1rLrr6'
        'fcxv9xyYK0"'),
    ),
    "[accounts.tc]\npassword-env = '$TC'": (
        "line 2: 'password-env' must be the name of an environment variable, got \"$TC\"",
        'write, for example, password-env = "TC_PASSWORD"',
    ),
    "[accounts.tc]\nuid = 4294967295": (
        "line 2: 'uid' must be a whole number from 0 to 4294967294, got 4294967295",
        "write, for example, uid = 1002",
    ),
    "[accounts.tc]\nshell = 'sh'": (
        ("line 2: 'shell' must be a path that begins with a slash and contains no colon, "
        'got "sh"'),
        'write, for example, shell = "/bin/sh"',
    ),
    '[boot]\nappend = "a\\nb"': (
        "line 2: 'append' must be text on one line, of at most 2047 characters, got \"a\\nb\"",
        'write, for example, append = "nodhcp waitusb=5"',
    ),
    '[boot]\nappend = "a\\u0000"': (
        ("line 2: 'append' must be text on one line, of at most 2047 characters, "
        'got "a\\u0000"'),
        'write, for example, append = "nodhcp waitusb=5"',
    ),
    "[boot]\ntimeout = 35997": (
        ("line 2: 'timeout' must be a whole number of tenths of a second, from 0 to 35996, "
        "got 35997"),
        "write, for example, timeout = 100",
    ),
    f"[iso]\nvolume-id = '{'x' * 33}'": (
        (f"line 2: 'volume-id' must be text on one line, of at most 32 characters, "
        f"got \"{'x' * 33}\""),
        'write, for example, volume-id = "MY CORE"',
    ),
    "[razor]\nproject = ''": (
        "line 2: 'project' must be a URL or a path, got empty",
        'write, for example, project = "../Razor-Microkernel"',
    ),
    "[razor]\nproject = 'x'\nmcollective = true": (
        "line 3: 'mcollective' must be a URL or a path, or false to leave it out, got true",
        "write, for example, mcollective = false",
    ),
    "[razor]\nproject = 'x'\nrubygems = ''": (
        "line 3: 'rubygems' must be a URL or a path, or false to leave it out, got empty",
        'write, for example, rubygems = "https://rubygems.org/rubygems/rubygems-1.8.24.tgz"',
    ),
    "[downloads]\nparallel = 0": (
        "line 2: 'parallel' must be a whole number from 1 to 64, got 0",
        "write, for example, parallel = 8",
    ),
    "[downloads]\nconnect-seconds = 0": (
        "line 2: 'connect-seconds' must be a number of seconds, from 0.001 to 604800, got 0",
        "write, for example, connect-seconds = 10",
    ),
    # Missing and conflicting keys
    "[razor]\nssh-host-keys = true": (
        "line 1: [razor] must have 'project'",
        'write, for example, project = "../Razor-Microkernel"',
    ),
    "[[cut]]\nfiles = ['x']": (
        "line 1: [[cut]] must have 'extension'", 'write, for example, extension = "util-linux.tcz"',
    ),
    "[[cut]]\nextension = 'x'": ("line 1: [[cut]] must have 'files' or 'list'", CUT_HINT),
    "\n[[overlay]]\nkeep-owners = true": (
        "line 2: [[overlay]] must have 'path' or 'url'", 'write, for example, path = "site"',
    ),
    "[[overlay]]\npath = 'x'\nurl = 'http://x/y'": (
        "line 3: [[overlay]] cannot have both 'path' and 'url'", "keep one of the two",
    ),
    "[accounts.tc]\npassword = 'hemlig'\npassword-env = 'X'": (
        "line 3: [accounts.tc] cannot have both 'password' and 'password-env'",
        "keep one of the two",
    ),
    "[accounts.tc]\npassword-hash = '$6$a$b'\npassword = 'hemlig'": (
        "line 2: [accounts.tc] cannot have both 'password' and 'password-hash'",
        "keep one of the two",
    ),
    "[accounts.tc]\nlocked = true\npassword = 'hemlig'": (
        "line 3: [accounts.tc] cannot have both 'locked' and 'password'",
        "keep one of the two",
    ),
}  # fmt: skip


@pytest.mark.parametrize("text", CORPUS)
def test_invalid_recipe_gives_exact_message_and_hint(text: str) -> None:
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
def test_valid_recipe_is_accepted(text: str) -> None:
    check(text)


def test_errors_are_sorted_by_line() -> None:
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


@pytest.mark.slow
def test_number_of_errors_is_limited() -> None:
    for text in (
        "\n".join(f"k{number} = 1" for number in range(5000)),
        f"[extensions]\nbuiltin = [{'5,' * 40_000}]",
    ):
        errors = wrong(text)
        assert len(errors) == MAX_ERRORS + 1
        assert errors[-1][0] == "f: there are more problems than these"


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
def test_large_recipe_gives_short_messages(text: str) -> None:
    assert all(len(message) < 250 for message, _hint in wrong(text))


@pytest.mark.slow
def test_any_invalid_value_gives_message_with_line_and_hint() -> None:
    """Give every key a value of every type."""
    values = ("1", "'x'", "true", "[]", "{}", "[{}]", "['']", "1.5", "nan", "1979-05-27", "''")
    chance = random.Random(0)
    refused = 0
    for table, schema in build_schema()["properties"].items():
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
