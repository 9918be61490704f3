from __future__ import annotations

import pytest

from purekernel.errors import LimitError, ModuleLoopError
from purekernel.rootfs.depmod import (
    Busybox,
    Dialect,
    Kmod,
    depmod,
    found,
)
from purekernel.rootfs.depmod.config import MAX_STEPS, read_depmod_config
from purekernel.rootfs.depmod.expressions import count_steps
from purekernel.tree import Device, DeviceKind, Metadata
from tests.depmods import RELEASE, index, lines, make_tree, paths
from tests.kernel_modules import make_module

# Files taken for modules


def test_files_ignored_by_kmod() -> None:
    module = make_module()
    done = index(
        {
            "a.ko.bak": module,
            "b.kox": module,
            "c.o": module,
            ".ko": module,
            "build/d.ko": module,
            "kernel/source/e.ko": module,
            "f.ko/g.ko": module,
            "h.ko.bz2": module,
        }
    )
    assert paths(done) == ["f.ko/g.ko"]


def test_files_taken_for_modules_by_busybox() -> None:
    module = make_module(["alias=x"])
    files: dict[str, bytes | str] = {
        "a.ko.bak": module,
        "b.kox": module,
        "c.o": module,
        "build/d.ko": module,
        # The name of the folder matters, too.
        "f.kol/readme": b"",
    }
    done = index(files, Busybox(version=(1, 20)))
    assert paths(done) == ["a.ko.bak", "b.kox", "build/d.ko", "f.kol/readme"]
    assert lines(done, "modules.alias") == ["alias x d", "alias x b", "alias x a"]


LINKED: dict[str, bytes | str] = {
    "kernel/a.ko": make_module(exports=[("a", 1)]),
    "kernel.tclocal": f"/usr/local/lib/modules/{RELEASE}/kernel",
    f"/usr/local/lib/modules/{RELEASE}/kernel/b.ko": make_module(["depends=a"], wants=["a"]),
}


def test_linked_folders_are_searched_by_kmod_and_tiny_core() -> None:
    both = ["kernel.tclocal/b.ko: kernel/a.ko", "kernel/a.ko:"]
    assert sorted(lines(index(LINKED), "modules.dep")) == both
    assert sorted(lines(index(LINKED, Busybox(follows_links=True)), "modules.dep")) == both
    assert lines(index(LINKED, Busybox()), "modules.dep") == ["kernel/a.ko:"]


@pytest.mark.parametrize("dialect", [Kmod(), Busybox(follows_links=True)])
def test_links_to_files_are_followed_and_broken_links_reported(dialect: Dialect) -> None:
    done = index(
        {
            "a.ko": make_module(["alias=x"]),
            "b.ko": "a.ko",
            "c.ko": "gone",
            "d": "d",
            "modules.order": b"",
        },
        dialect,
    )
    assert paths(done) == ["a.ko", "b.ko"]
    assert sorted(lines(done, "modules.alias")) == ["alias x a", "alias x b"]
    assert [warning.rpartition("/")[2].lstrip("'") for warning in done.warnings] == [
        "c.ko': skipped: broken symbolic link",
        "d': skipped: broken symbolic link",
    ]


@pytest.mark.parametrize("dialect", [Kmod(), Busybox(follows_links=True)])
def test_link_to_parent_folder_is_skipped(dialect: Dialect) -> None:
    done = index({"kernel/a.ko": make_module(), "kernel/up": "..", "modules.order": b""}, dialect)
    assert paths(done) == ["kernel/a.ko"]
    assert [warning.rpartition("/")[2].lstrip("'") for warning in done.warnings] == [
        "up': skipped: link to a parent folder"
    ]


def test_device_is_skipped() -> None:
    tree = make_tree({"modules.order": b""})
    device = Device(metadata=Metadata(mode=0o600), kind=DeviceKind.CHARACTER, major=1, minor=3)
    tree.add(f"lib/modules/{RELEASE}/null.ko".encode(), device)
    done = depmod(tree, RELEASE.encode(), mtime=0, dialect=Kmod())
    assert done.files[b"modules.dep"] == b""
    assert done.warnings == ("'/lib/modules/6.1.0/null.ko': skipped: a character device",)
    done = depmod(tree, RELEASE.encode(), mtime=0, dialect=Busybox())
    assert done.files[b"modules.dep"] == b""


# Several modules of one name


def several(**rules: str) -> dict[str, bytes | str]:
    """Return modules of one name, and depmod.d files."""
    files: dict[str, bytes | str] = {
        f"{folder}/a-b.ko": make_module() for folder in ("extra/deep", "kernel", "updates")
    }
    return files | {f"/etc/depmod.d/{name}.conf": said.encode() for name, said in rules.items()}


def test_updates_takes_precedence_by_default() -> None:
    assert paths(index(several())) == ["updates/a-b.ko"]


# Expressions, and whether they match 6.1.0. In depmod.d, two backslashes stand for one.
EXPRESSIONS = [
    ("6", True),
    ("^6|x", True),
    ("(5|6).1", True),
    ("6{1}.1", True),
    ("6.1.0$", True),
    ("^$", False),
    ("a|", True),
    ("()", True),
    # Invalid expressions match nothing.
    ("*6", False),
    ("(", False),
    ("[6-", False),
    ("[9-0]", False),
    ("6{2,1}", False),
    ("[[:foo:]]", False),
    ("[:digit:]", False),
    # Sets.
    ("^[[:digit:]].1", True),
    ("^[^[:alpha:]][.]", True),
    ("[[:digit:]-]", True),
    ("[]6].1", True),
    ("[6[].1", True),
    ("[^]6].1", False),
    (r"[\\6].1", True),
    ("[[.6.]]", True),
    ("[[=6=]]", True),
    ("[a||6]", True),
    ("[&&]", False),
    # Syntax with another meaning in Python.
    ("6.*?0", True),
    ("6.*+0", True),
    ("6**", True),
    ("(?i)6", False),
    ("6(?=.)", False),
    (r"6\\.1", True),
    (r"6\\x", False),
    (r"\\d", False),
    (r"\\w", True),
    (r"\\<6", True),
    (r"0\\>", True),
    (r"\\6", False),
    (r"(6).\\1", False),
]


@pytest.mark.parametrize(("expression", "matching"), EXPRESSIONS)
def test_expressions_match_as_in_glibc(expression: str, matching: bool) -> None:
    rule = f"override a-b {expression} kernel"
    counting = "kernel" if matching else "updates"
    assert paths(index(several(a=rule))) == [f"{counting}/a-b.ko"]


# Rules, and the folder of the module that they select; "extra" is read first.
RULES: list[tuple[str, str | None]] = [
    # The first folder of the last search line has the highest rank.
    ("search updates", "updates"),
    ("search kernel extra", "kernel"),
    ("search updates kernel extra", "updates"),
    ("search extra\nsearch kernel", "extra/deep"),
    ("search kernel\nsearch extra", "kernel"),
    ("search extra/deep", "extra/deep"),
    ("search built-in updates", "extra/deep"),
    ("search kernel built-in updates", "kernel"),
    ("search external kernel", "kernel"),
    ("search updates/", "extra/deep"),
    ("search kernel/de", "extra/deep"),
    ("search nothing", "extra/deep"),
    ("search", "updates"),
    ("search kernel # no comment", "kernel"),
    ("#search kernel", "updates"),
    (" search kernel", "kernel"),
    ("\tsearch\tkernel\t", "kernel"),
    ("search \\\nkernel", "kernel"),
    ("search ker\\nel", "kernel"),
    # An override for certain releases.
    ("override a_b * kernel", "updates"),
    ("override a-b * kernel", "kernel"),
    ("override a-b * extra", "updates"),
    ("override a-b * extra/deep", "extra/deep"),
    ("override a-b ^6.1 kernel", "kernel"),
    ("override a-b ^6\\\\.1 kernel", "kernel"),
    ("override a-b ^5 kernel", "updates"),
    ("override a-b [ kernel", "updates"),
    ("override a-b * kernel\noverride a-b * extra/deep", "extra/deep"),
    ("override a-b kernel", "updates"),
    # Excluded modules.
    ("exclude updates", "extra/deep"),
    ("exclude updates extra kernel\nexclude a-b", None),
    ("exclude updates a-b", "extra/deep"),
    ("exclude a-b.ko", None),
    # Obsolete commands.
    ("make_map_files no", "updates"),
    ("include /etc/other.conf", "updates"),
]


@pytest.mark.parametrize(("rules", "winner"), RULES)
def test_depmod_config_chooses_module(rules: str, winner: str | None) -> None:
    assert paths(index(several(a=rules))) == ([] if winner is None else [f"{winner}/a-b.ko"])


def test_config_file_hides_same_name_in_later_folders() -> None:
    module = make_module()
    files: dict[str, bytes | str] = {
        "kernel/a.ko": module,
        "updates/a.ko": module,
        "/usr/lib/depmod.d/x.conf": b"search kernel",
        "/run/depmod.d/y.conf": b"search kernel",
        "/etc/depmod.d/y.conf": b"",
        "/etc/depmod.d/.z.conf": b"search kernel",
        "/etc/depmod.d/z.config": b"search kernel",
    }
    assert paths(index(files, Kmod(version=31))) == ["updates/a.ko"]
    assert paths(index(files, Kmod(version=32))) == ["kernel/a.ko"]
    files["/usr/local/lib/depmod.d/x.conf"] = b""
    assert paths(index(files, Kmod(version=32))) == ["updates/a.ko"]


def test_external_modules_have_absolute_paths() -> None:
    files: dict[str, bytes | str] = {
        "kernel/a.ko": make_module(wants=["b"]),
        "kernel/c.ko": make_module(),
        "/opt/modules/b.ko": make_module(exports=[("b", None)]),
        "/opt/modules/c.ko": make_module(),
        "/etc/depmod.d/a.conf": b"external * /opt/modules\n"
        b"external * /opt/none\nexternal ^5 /opt\n",
    }
    done = index(files)
    assert sorted(lines(done, "modules.dep")) == [
        "/opt/modules/b.ko:",
        "kernel/a.ko: /opt/modules/b.ko",
        "kernel/c.ko:",
    ]
    assert "'/opt/none': folder not found" in done.warnings
    files["/etc/depmod.d/b.conf"] = b"search external built-in"
    assert "/opt/modules/c.ko:" in lines(index(files), "modules.dep")
    # An empty line in modules.order matches no module.
    files["modules.order"] = b"\nkernel/a.ko\n"
    assert lines(index(files), "modules.dep")[0] == "kernel/a.ko: /opt/modules/b.ko"


def test_built_in_first_takes_precedence() -> None:
    # Folders without a rule have the rank of "built-in".
    files = several(a="search built-in updates", b="exclude extra")
    assert paths(index(files)) == ["kernel/a-b.ko"]


def test_module_selection_without_a_rule() -> None:
    files: dict[str, bytes | str] = {
        "kernel/x/a.ko": make_module(["alias=x"]),
        "kernel/y/a.ko": make_module(["alias=y"]),
        "modules.order": b"",
    }
    order = [b"kernel", b"modules.order", b"x", b"y", b"a.ko"]
    other = [b"kernel", b"modules.order", b"y", b"x", b"a.ko"]
    # kmod keeps the first.
    assert lines(index(files, reading=order), "modules.alias") == ["alias x a"]
    assert lines(index(files, reading=other), "modules.alias") == ["alias y a"]
    # busybox lists both modules, or combines them.
    done = index(files, Busybox(version=(1, 20)), reading=order)
    assert lines(done, "modules.dep") == ["kernel/y/a.ko:", "kernel/x/a.ko:"]
    assert lines(done, "modules.alias") == ["alias y a", "alias x a"]
    done = index(files, Busybox(version=(1, 35)), reading=order)
    assert lines(done, "modules.dep") == ["kernel/y/a.ko:"]
    assert lines(done, "modules.alias") == ["alias y a", "alias x a"]


def test_invalid_config_lines_are_reported() -> None:
    done = index(
        {"modules.order": b"", "/etc/depmod.d/a.conf": b"search x\\\ny\nserach x\noverride a\n"}
    )
    assert done.warnings == (
        "'etc/depmod.d/a.conf', line 3: skipped: invalid command 'serach'",
        "'etc/depmod.d/a.conf', line 4: skipped: invalid command 'override'",
    )


def test_backslash_at_end_of_config_is_read_as_by_each_release() -> None:
    files: dict[str, bytes | str] = {
        "kernel/a.ko": make_module(),
        "updates/a.ko": make_module(),
        "/etc/depmod.d/a.conf": b"search updates kernel\nsearch kernel\\",
    }
    # Before version 34, kmod takes the EOF of getc() for a character.
    done = index(files, Kmod(version=33))
    assert paths(done) == ["updates/a.ko"]
    files["/etc/depmod.d/a.conf"] = b"search kernel\\"
    assert paths(index(files, Kmod(version=34))) == ["kernel/a.ko"]


@pytest.mark.parametrize("dialect", [Kmod(), Busybox(follows_links=True)])
def test_search_of_cyclic_links_ends(dialect: Dialect) -> None:
    files: dict[str, bytes | str] = {"modules.order": b""}
    for number in range(8):
        files[f"d{number}/m{number}.ko"] = make_module()
        for other in range(3):
            files[f"d{number}/to{other}"] = f"../d{other}"
    done = index(files, dialect)
    names = {path.rpartition("/")[2] for path in paths(done)}
    assert names == {f"m{number}.ko" for number in range(8)}


@pytest.mark.parametrize("dialect", [Kmod(), Busybox(follows_links=True)])
def test_search_of_many_cyclic_links_is_refused(
    dialect: Dialect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(found, "MAX_NAMES", 2000)
    # Thirty folders, each with links to all others, have a huge number of paths.
    files: dict[str, bytes | str] = {
        f"d{number}/to{other}": f"../d{other}" for number in range(30) for other in range(30)
    }
    with pytest.raises(LimitError, match="at most 2000 names, including those behind links"):
        index(files, dialect)


@pytest.mark.parametrize(
    "expression",
    ["(a*)*b", "((6?)+)+x", "(6|6.)*x", "([0-9]+){9}x", "6?" * 30, ".*" * 20, "6" * 1025],
)
def test_expression_that_may_take_very_long_is_refused(expression: str) -> None:
    steps = count_steps(expression.encode(), b"6.1.0-" + b"0" * 249)
    assert steps > MAX_STEPS
    config = f"#\nexternal {expression} /opt\n".encode()
    tree = make_tree({"/etc/depmod.d/a.conf": config})
    with pytest.raises(LimitError) as caught:
        read_depmod_config(tree, b"6.1.0-" + b"0" * 249, version=34)
    assert str(caught.value).startswith(
        "'etc/depmod.d/a.conf', line 2: expected expressions that together match in at most "
    )


def test_many_expressions_are_refused_together() -> None:
    line = b"override a .*-.*-.* kernel\n"
    tree = make_tree({"/etc/depmod.d/a.conf": line * 20})
    assert len(read_depmod_config(tree, b"6.1.0-1-amd64", version=34).overrides) == 20
    tree = make_tree({"/etc/depmod.d/a.conf": line * 3000})
    with pytest.raises(LimitError, match=r"a\.conf', line [12]\d\d\d: "):
        read_depmod_config(tree, b"6.1.0-1-amd64", version=34)


@pytest.mark.parametrize("expression", [b"^4\\.4", b"(5|6)\\.1.*-amd64$", b"[[:digit:]]+.*"])
def test_usual_expression_takes_few_steps(expression: bytes) -> None:
    assert count_steps(expression, b"6.1.0-13-amd64") < 100_000


def chain(length: int) -> dict[str, bytes | str]:
    """Return modules of which each depends on the next."""
    files: dict[str, bytes | str] = {"modules.order": b""}
    for number in range(length):
        files[f"m{number}.ko"] = make_module(
            [f"depends=m{number + 1}"], exports=[(f"s{number}", None)], wants=[f"s{number + 1}"]
        )
    return files


@pytest.mark.parametrize("dialect", [Kmod(), Busybox(version=(1, 35))])
def test_long_chain_of_modules_is_refused(
    dialect: Dialect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(found, "MAX_NEEDS", 50)
    assert len(lines(index(chain(10), dialect), "modules.dep")) == 10
    with pytest.raises(LimitError, match=r"m\d+\.ko': expected at most 50 direct and indirect"):
        index(chain(20), dialect)


def test_module_with_very_many_dependencies_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(found, "MAX_NEEDS", 50)
    files: dict[str, bytes | str] = {"a.ko": make_module(["depends=" + "a," * 60])}
    with pytest.raises(LimitError, match=r"a\.ko': expected at most 50 direct and indirect"):
        index(files, Busybox(version=(1, 35)))


@pytest.mark.parametrize("dialect", [Kmod(), Busybox(version=(1, 35))])
def test_long_cycle_of_modules_is_shortened_in_the_message(dialect: Dialect) -> None:
    files = chain(60)
    files["m59.ko"] = make_module(["depends=m0"], exports=[("s59", None)], wants=["s0"])
    with pytest.raises(ModuleLoopError, match="->") as caught:
        index(files, dialect)
    assert caught.value.message.count(" -> ") == 19
    assert " -> … -> " in caught.value.message
