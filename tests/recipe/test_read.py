"""Test reading recipes: every key is read, and all errors are reported at once."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any

import attrs
import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from purekernel.errors import CombinedError, InputError, RecipeError
from purekernel.formats.iso import VolumeFields
from purekernel.formats.tinycore import arch_of
from purekernel.recipe.accounts import Account
from purekernel.recipe.additions import Cut, Extensions, GemLayout, Gems, OverlayChoice
from purekernel.recipe.base import CoreChoice, DownloadChoice, Mirrors
from purekernel.recipe.boot import BootChanges
from purekernel.recipe.changes import AttributeChange, EditChange, FileChange, LinkChange, Removal
from purekernel.recipe.efi import EfiFile
from purekernel.recipe.flavour import Flavour
from purekernel.recipe.iso_files import IsoChoice, IsoFile
from purekernel.recipe.keys import Named, override
from purekernel.recipe.kinds import parse_size
from purekernel.recipe.model import OutputChoice, Recipe
from purekernel.recipe.razor import Razor
from purekernel.recipe.read import load_recipe, parse_recipe
from purekernel.recipe.system import Group
from tests.recipe.schemas import SCHEMA, accepted

FOLDER = Path("some", "where")

IN_EXTENSION = "a path in the extension, without a leading slash or '..'"

FULL = """\
name = "my-core"
version = "1.0"
flavour = "debug"
timestamp = 1700000000

[core]
version = "4.4"
arch = "x86_64"
iso = "https://mirror.example/Core.iso"
iso-sha256 = "ABCDEF0000000000000000000000000000000000000000000000000000000000"
kernel-release = "3.0.3-tinycore"

[mirrors]
tinycore = ["http://mirror.example/tinycorelinux", "../mirror/tinycorelinux"]
extensions = ["http://mirror.example/4.x/x86/tcz"]
gems = ["https://rubygems.org"]
debian = ["https://ftp.debian.org/debian"]
debian-packages = ["https://mirror.example/Packages.gz"]

[extensions]
builtin = [
  "bash",
  "lshw.deb",
  "extra.tcz",
]
builtin-list = "lists/builtin.lst"
mirror-list = "mirror.lst"
merged = ["nano"]
skip = ["gvim-base", "x.tcz"]
dependencies = false

[[cut]]
extension = "util-linux"
files = ["usr/local/sbin/sfdisk", "usr/local/bin/ls*"]
[[cut]]
extension = "other.tcz"
list = "other.lst"

[gems]
wanted = ["facter", "json_pure >= 1.7.7"]
list = "gem.list"
layout = "flat"
ruby = "1.8.7"

[[overlay]]
path = "site"
[[overlay]]
url = "https://mirror.example/site.tar.gz"
sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
keep-owners = true

[accounts.tc]
password-env = "TC_PASSWORD"
[accounts.anna]
locked = true
uid = 1002
gid = 50
home = "/home/anna"
shell = "/bin/sh"
comment = "Anna"

[boot]
append = "console=ttyS0"
timeout = 100
default = "mc"
autologin = false

[iso]
volume-id = "V"
application = "A"
system = "S"
publisher = "P"
preparer = "R"
keep-files = true

[razor]
project = "../Razor-Microkernel"
rubygems = "rubygems.tgz"
open-vm-tools = false
ssh-host-keys = false

[output]
folder = "out"
emit = ["pxe", "iso", "pxe"]

[downloads]
parallel = 2
attempts = 3
connect-seconds = 1
stall-seconds = 2.5
most-seconds = 100
"""

FILES = {
    "lists/builtin.lst": b"# ours\r\nbash\r\nopenssh.tcz # later\r\n",
    "mirror.lst": b"fuse\n",
    "other.lst": b"\nusr/bin/x\n",
    "gem.list": b"daemons\nfacter\n",
}


def reader(files: dict[str, bytes]) -> Callable[[Path], bytes]:
    def read(path: Path) -> bytes:
        name = path.relative_to(FOLDER).as_posix()
        if name not in files:
            raise InputError(f"{name} does not exist")
        return files[name]

    return read


def parse(text: str, files: dict[str, bytes] | None = None) -> Recipe:
    read = reader(FILES if files is None else files)
    return parse_recipe(text.encode(), source="p.toml", folder=FOLDER, read=read)


def named(*names: str) -> tuple[Named, ...]:
    return tuple(Named(name=name, place="") for name in names)


def places(names: tuple[Named, ...] | None) -> list[str]:
    assert names is not None
    return [entry.place for entry in names]


def test_every_key_is_read() -> None:
    recipe = parse(FULL)
    assert recipe == Recipe(
        source="p.toml",
        folder=FOLDER,
        name="my-core",
        version="1.0",
        flavour=Flavour.DEBUG,
        timestamp=1700000000,
        core=CoreChoice(
            version="4.4",
            arch="x86_64",
            iso="https://mirror.example/Core.iso",
            iso_sha256="abcdef" + "0" * 58,
            kernel_release="3.0.3-tinycore",
        ),
        mirrors=Mirrors(
            tinycore=("http://mirror.example/tinycorelinux", "../mirror/tinycorelinux"),
            extensions=("http://mirror.example/4.x/x86/tcz",),
            gems=("https://rubygems.org",),
            debian=("https://ftp.debian.org/debian",),
            debian_packages=("https://mirror.example/Packages.gz",),
        ),
        extensions=Extensions(
            builtin=named("bash.tcz", "openssh.tcz", "lshw.deb", "extra.tcz"),
            mirror=named("fuse.tcz"),
            merged=named("nano.tcz"),
            skip=frozenset({"gvim-base.tcz", "x.tcz"}),
            dependencies=False,
        ),
        cuts=(
            Cut(
                extension=Named(name="util-linux.tcz", place=""),
                files=named("usr/local/sbin/sfdisk", "usr/local/bin/ls*"),
            ),
            Cut(extension=Named(name="other.tcz", place=""), files=named("usr/bin/x")),
        ),
        gems=Gems(
            wanted=named("daemons", "facter", "json_pure >= 1.7.7"),
            layout=GemLayout.FLAT,
            ruby="1.8.7",
        ),
        overlays=(
            OverlayChoice(path="site"),
            OverlayChoice(
                url="https://mirror.example/site.tar.gz", sha256="0" * 64, keep_owners=True
            ),
        ),
        accounts=(
            Account(name="tc", password_env="TC_PASSWORD"),
            Account(
                name="anna",
                locked=True,
                uid=1002,
                gid=50,
                home="/home/anna",
                shell="/bin/sh",
                comment="Anna",
            ),
        ),
        boot=BootChanges(append="console=ttyS0", timeout=100, default="mc"),
        autologin=False,
        iso=IsoChoice(
            volume_id="V",
            application="A",
            system="S",
            publisher="P",
            preparer="R",
            keep_files=True,
        ),
        razor=Razor(
            project="../Razor-Microkernel",
            rubygems="rubygems.tgz",
            open_vm_tools="",
            ssh_host_keys=False,
        ),
        output=OutputChoice(folder="out", emit=("pxe", "iso")),
        downloads=DownloadChoice(
            parallel=2, attempts=3, connect_seconds=1, stall_seconds=2.5, most_seconds=100
        ),
    )


def test_volume_fields_have_the_names_of_the_iso_writer() -> None:
    volume = parse(FULL).iso.volume
    assert volume == {
        "volume_id": "V",
        "application_id": "A",
        "system_id": "S",
        "publisher_id": "P",
        "preparer_id": "R",
    }
    assert set(volume) <= set(attrs.fields_dict(VolumeFields))
    assert parse("[iso]\nkeep-files = true\n").iso.volume == {}


def test_names_have_file_and_line() -> None:
    recipe = parse(FULL)
    assert places(recipe.extensions.builtin) == [
        "lists/builtin.lst, line 2",
        "lists/builtin.lst, line 3",
        "p.toml, line 23, builtin under [extensions]",
        "p.toml, line 24, builtin under [extensions]",
    ]
    assert places(recipe.extensions.merged) == ["p.toml, line 28, merged under [extensions]"]
    assert recipe.cuts[0].extension.place == "p.toml, line 33, extension under [[cut]]"
    assert places(recipe.cuts[1].files) == ["other.lst, line 2"]
    assert places(recipe.gems.wanted) == [
        "gem.list, line 1",
        "gem.list, line 2",
        "p.toml, line 40, wanted under [gems]",
    ]


def test_values_have_file_line_and_key() -> None:
    recipe = parse(FULL)
    tc, anna = recipe.accounts
    razor = recipe.razor
    assert razor is not None
    assert [
        recipe.place("timestamp"),
        recipe.place("autologin"),
        recipe.core.place("iso_sha256"),
        recipe.overlays[1].place("sha256"),
        recipe.cuts[1].place("files"),
        tc.place("password_env"),
        anna.place("gid"),
        anna.place(),
        recipe.boot.place("default"),
        recipe.iso.place("volume_id"),
        razor.place("open_vm_tools"),
        recipe.extensions.place("mirror"),
    ] == [
        "p.toml, line 4, timestamp",
        "p.toml, line 66, autologin under [boot]",
        "p.toml, line 10, iso-sha256 under [core]",
        "p.toml, line 49, sha256 under [[overlay]]",
        "p.toml, line 37, list under [[cut]]",
        "p.toml, line 53, password-env under [accounts.tc]",
        "p.toml, line 57, gid under [accounts.anna]",
        "p.toml, line 54, [accounts.anna]",
        "p.toml, line 65, default under [boot]",
        "p.toml, line 69, volume-id under [iso]",
        "p.toml, line 79, open-vm-tools under [razor]",
        "p.toml, line 27, mirror-list under [extensions]",
    ]


def test_default_and_overridden_values_have_no_location() -> None:
    recipe = parse('[boot]\ntimeout = 5\nappend = "a"\n')
    assert recipe.boot.place("default") == recipe.core.place("version") == ""
    boot = override(recipe.boot, timeout=7, append=None)
    assert (boot.timeout, boot.append) == (7, "a")
    assert (boot.place("timeout"), boot.place("append")) == (
        "",
        "p.toml, line 3, append under [boot]",
    )
    boot = override(recipe.boot, place="x.cfg, line 1", default="mc")
    assert boot.place("default") == "x.cfg, line 1"
    assert boot == BootChanges(timeout=5, append="a", default="mc")


def test_absent_key_is_none_and_empty_array_is_empty() -> None:
    assert parse("") == Recipe(source="p.toml", folder=FOLDER)
    assert parse("[extensions]\n[gems]\n[core]\n[boot]\n").extensions.builtin is None
    assert parse("[extensions]\nbuiltin = []\n").extensions.builtin == ()
    assert parse("[gems]\nwanted = []\n").gems.wanted == ()


def test_password_is_read_and_not_in_repr() -> None:
    recipe = parse('[accounts.tc]\npassword = "hemlig"\n')
    assert recipe.accounts[0].password == "hemlig"
    assert "hemlig" not in repr(recipe)


def test_float_with_integer_value_is_read_as_integer() -> None:
    """JSON Schema treats 100.0 as an integer."""
    recipe = parse("[boot]\ntimeout = 100.0\n")
    assert (recipe.boot.timeout, type(recipe.boot.timeout)) == (100, int)


def test_errors_in_recipe_and_lists_are_reported_together() -> None:
    files = {
        "b.lst": b"bash\na b\n\n/x\n",
        "c.lst": b"/etc\n",
        "g.list": b"\xff\n",
    }
    text = """\
flavor = "dev"
[extensions]
builtin-list = "b.lst"
mirror-list = "sub/m.lst"
[[cut]]
list = "c.lst"
[gems]
list = "g.list"
ruby = 1.8
"""
    with pytest.raises(CombinedError) as caught:
        parse(text, files)
    words = "the name of an extension: letters, digits and _ . + ~ -"
    assert [(str(error), error.hint) for error in caught.value.errors] == [
        (
            "p.toml, line 1: unknown key 'flavor' in the recipe; did you mean 'flavour'?",
            "write 'flavour'",
        ),
        (
            "p.toml, line 5: [[cut]] must have 'extension'",
            'write, for example, extension = "util-linux.tcz"',
        ),
        ("p.toml, line 9: 'ruby' must be text, got 1.8", "put it in quotes"),
        (
            "p.toml, line 4: sub/m.lst does not exist",
            "give the path of the list relative to the recipe's folder",
        ),
        ("g.list, line 1: the byte 0xff is not UTF-8", "save the file as UTF-8"),
        (f"b.lst, line 2: expected {words}, got 'a b'", "give one name, such as bash.tcz"),
        (f"b.lst, line 4: expected {words}, got '/x'", "give one name, such as bash.tcz"),
        (f'c.lst, line 1: expected {IN_EXTENSION}, got "/etc"', "correct the line, or delete it"),
    ]


def test_defer_lists_puts_line_errors_into_faults() -> None:
    files = {"b.lst": b"bash\na b\nnano\n"}
    text = '[extensions]\nbuiltin-list = "b.lst"\n'
    data, folder = text.encode(), Path()
    recipe = parse_recipe(
        data, source="p.toml", folder=folder, read=lambda path: files[path.name], defer_lists=True
    )
    assert [str(fault).split(":")[0] for fault in recipe.faults] == ["b.lst, line 2"]
    assert [entry.name for entry in recipe.extensions.builtin or ()] == ["bash.tcz", "nano.tcz"]


@pytest.mark.parametrize(
    "text",
    [
        "extensions = 5",
        "extensions = [{}]",
        "cut = 5",
        "cut = [5, [], {list = 5}, {list = ''}]",
        "[[extensions]]\nbuiltin-list = 'x'",
        '[gems]\nlist = "\\u0000"',
        "gems = 1979-05-27",
    ],
)
def test_value_that_is_not_a_list_path_is_not_opened(text: str) -> None:
    with pytest.raises((RecipeError, CombinedError)) as caught:
        parse(text, {})
    assert "does not exist" not in str(caught.value)


def test_load_recipe_reads_lists_in_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "purekernel.toml"
    path.write_text('[extensions]\nbuiltin-list = "lists/b.lst"\n')
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "b.lst").write_text("bash\n")
    recipe = load_recipe(path)
    assert recipe.folder == tmp_path
    assert recipe.source == str(path)
    assert recipe.extensions.builtin == named("bash.tcz")


def test_unreadable_recipe_or_list_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "purekernel.toml"
    with pytest.raises(InputError) as missing:
        load_recipe(path)
    assert str(missing.value) == f"{path} does not exist"
    path.write_text('[extensions]\nbuiltin-list = "lists"\n[gems]\nlist = "large"\n')
    (tmp_path / "lists").mkdir()
    (tmp_path / "large").write_bytes(b"#" * ((1 << 20) + 1))
    with pytest.raises(CombinedError) as caught:
        load_recipe(path)
    assert [str(error) for error in caught.value.errors] == [
        f"{path}, line 2: {tmp_path / 'lists'} is a folder, not a file",
        f"{path}, line 4: {tmp_path / 'large'} has more than 1048576 bytes",
    ]


# Property tests: every recipe accepted by the schema is read


# Keys under [extensions] whose values are names.
NAMES = {"builtin", "mirror", "merged", "cde", "tce", "ondemand", "copy2fs", "skip"}


def complete(name: str) -> str:
    return name if name.endswith((".tcz", ".deb")) else f"{name}.tcz"


def once(names: list[str]) -> list[str]:
    return list(dict.fromkeys(names))


def expected(values: dict[str, Any]) -> dict[str, Any]:
    """Return the expected result: full names, each once; lists read; digests in lower case."""
    made = {key: dict(value) if isinstance(value, dict) else value for key, value in values.items()}
    if "extensions" in made:
        table = made["extensions"]
        for key in ("builtin", "mirror", "merged", "cde", "tce"):
            read_list(table, key, f"{key}-list")
        for key in NAMES & set(table):
            table[key] = once(list(map(complete, table[key])))
        if "skip" in table:
            table["skip"] = sorted(table["skip"])
    if "cut" in made:
        made["cut"] = [{**cut, "extension": complete(cut["extension"])} for cut in made["cut"]]
        for cut in made["cut"]:
            read_list(cut, "files", "list")
    for need in made.get("need", ()):
        need["extensions"] = list(map(complete, need["extensions"]))
    if "gems" in made:
        read_list(made["gems"], "wanted", "list")
    if "emit" in made.get("output", {}):
        made["output"]["emit"] = once(made["output"]["emit"])
    make_names_unique(made)
    convert_values(made)
    repeated = [*made.get("overlay", ()), *made.get("checksum", ())]
    repeated += made.get("iso", {}).get("file", ())
    efi = made.get("boot", {}).get("efi", {})
    repeated += efi.get("file", ())
    for table in (made.get("core"), made.get("razor"), efi, *repeated):
        for key in [key for key in table or () if key.endswith("sha256")]:
            digest = table[key]
            table[key] = digest.lower() if isinstance(digest, str) else [*map(str.lower, digest)]
    return made


def convert_values(made: dict[str, Any]) -> None:
    for key in {"size", "free"} & set(made.get("disk", ())):
        made["disk"][key] = parse_size(made["disk"][key])
    if "core" in made:
        made["core"].setdefault("arch", arch_of(made["core"].get("edition")))


def make_names_unique(made: dict[str, Any]) -> None:
    for key in {"exposed-ports", "volumes"} & set(made.get("oci", ())):
        made["oci"][key] = once(made["oci"][key])
    named = (made.get(name, {}) for name in ("groups", "accounts"))
    for table in (made.get("system", {}), *(item for items in named for item in items.values())):
        for key in {"services", "nameservers", "members", "groups", "authorized-keys"} & set(table):
            table[key] = once(table[key])


def read_list(table: dict[str, Any], key: str, list_key: str) -> None:
    listed = ["listed"] if table.pop(list_key, None) is not None else []
    if listed or key in table:
        table[key] = once([*listed, *table.get(key, [])])


def plain(value: Any) -> Any:
    """Return a value of the model in the form of a recipe."""
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, Named):
        return value.name
    if isinstance(value, Enum):
        return value.value
    if attrs.has(type(value)):
        return {
            key.replace("_", "-"): plain(getattr(value, key))
            for key in attrs.fields_dict(type(value))
            if key != "places"
        }
    return value


# The tables that change files, and their attributes of the recipe.
CHANGES = {
    "remove": "removals",
    "file": "files",
    "edit": "edits",
    "link": "links",
    "attributes": "attributes",
}


def all_values(recipe: Recipe) -> dict[str, Any]:
    """Return all values of ``recipe`` by key."""
    values_by_key: dict[str, Any] = plain(recipe)
    values_by_key["cut"] = values_by_key.pop("cuts")
    values_by_key["need"] = values_by_key.pop("needs")
    values_by_key["checksum"] = values_by_key.pop("checksums")
    values_by_key["overlay"] = values_by_key.pop("overlays")
    for key, attribute in CHANGES.items():
        values_by_key[key] = values_by_key.pop(attribute)
    values_by_key["accounts"] = {
        account.pop("name"): account for account in values_by_key["accounts"]
    }
    values_by_key["iso"]["file"] = values_by_key.pop("iso-files")
    values_by_key["groups"] = {group.pop("name"): group for group in values_by_key["groups"]}
    values_by_key["boot"]["efi"] = values_by_key.pop("efi")
    values_by_key["boot"]["efi"]["file"] = values_by_key.pop("efi-files")
    values_by_key["boot"]["autologin"] = values_by_key.pop("autologin")
    for key in ("rubygems", "open-vm-tools", "mcollective"):
        if values_by_key["razor"] and values_by_key["razor"][key] == "":
            values_by_key["razor"][key] = False
    return values_by_key


NOTHING = Recipe(
    source="p.toml",
    folder=FOLDER,
    cuts=(Cut(extension=Named(name="", place=""), files=()),),
    overlays=(OverlayChoice(),),
    iso_files=(IsoFile(path=""),),
    efi_files=(EfiFile(path="", source=""),),
    removals=(Removal(paths=()),),
    files=(FileChange(path=""),),
    edits=(EditChange(paths=()),),
    links=(LinkChange(target=""),),
    attributes=(AttributeChange(paths=()),),
    accounts=(Account(name=""),),
    groups=(Group(name=""),),
    razor=Razor(project=""),
)


def with_efi_defaults(efi: dict[str, Any]) -> dict[str, Any]:
    nothing = all_values(NOTHING)["boot"]["efi"]
    (defaults,) = nothing["file"]
    return {**nothing, **efi, "file": [{**defaults, **item} for item in efi.get("file", ())]}


def with_defaults(values: dict[str, Any]) -> dict[str, Any]:
    """Return ``values``, with values for absent keys added."""
    nothing = all_values(NOTHING)
    made: dict[str, Any] = {
        **nothing,
        "cut": [],
        "need": [],
        "checksum": [],
        "overlay": [],
        "iso": {**nothing["iso"], "file": []},
        "boot": {**nothing["boot"], "efi": {**nothing["boot"]["efi"], "file": []}},
        **{key: [] for key in CHANGES},
        "accounts": {},
        "groups": {},
        "razor": None,
    }
    for key, value in values.items():
        if key in ("need", "checksum"):
            made[key] = value
        elif key in ("cut", "overlay", *CHANGES):
            made[key] = [{**nothing[key][0], **item} for item in value]
        elif key in ("accounts", "groups"):
            made[key] = {name: {**nothing[key][""], **item} for name, item in value.items()}
        elif key == "iso":
            (defaults,) = nothing["iso"]["file"]
            items = [{**defaults, **item} for item in value.get("file", ())]
            made[key] = {**made[key], **value, "file": items}
        elif key == "boot":
            made[key] = {**made[key], **value, "efi": with_efi_defaults(value.get("efi", {}))}
        elif isinstance(value, dict):
            made[key] = {**nothing[key], **value}
        else:
            made[key] = value
    return made


ACCEPTED = {
    key: accepted(schema)
    for key, schema in SCHEMA["properties"].items()
    if key not in ("extends", "discard")  # they need other files
}


@pytest.mark.slow
@given(st.data())
def test_accepted_recipe_is_read_unchanged(data: st.DataObject) -> None:
    # Drawing all tables at once exceeds the limits of hypothesis.
    keys = data.draw(st.lists(st.sampled_from(list(ACCEPTED)), unique=True, max_size=4))
    values = {key: data.draw(ACCEPTED[key]) for key in keys}
    for account in values.get("accounts", {}).values():
        # Its lines are public keys, which "listed" is not.
        account.pop("authorized-keys-list", None)
    text = tomli_w.dumps(values)
    recipe = parse_recipe(
        text.encode(), source="p.toml", folder=FOLDER, read=lambda _path: b"listed\n"
    )
    assert all_values(recipe) == with_defaults(expected(values))
