"""Check whole images, and tell their findings from those of their base."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.compress import gzip
from fixtures.core_iso import make_core_iso
from purekernel.analysis import lint as module
from purekernel.analysis.findings import BASE, IMAGE, RULES, FileOwner, Finding, OwnerKind
from purekernel.analysis.known_bases import (
    KnownBase,
    build_known_bases,
    load_known_bases,
    parse_known_bases,
    program_digest,
)
from purekernel.analysis.lint import Lint, lint_and_select, lint_image
from purekernel.analysis.origins import Origin, OriginKind, OriginMap, Origins
from purekernel.analysis.selection import parse_selection
from purekernel.errors import CombinedError, UsageError
from purekernel.formats.cpio import build_cpio
from purekernel.tree import Tree
from tests.analysis.images import brief, pack, put, tree_of
from tests.analysis.test_faults import clean
from tests.docs.pages import read_page
from tests.hybrids import EFI_IMAGE, make_uefi_iso

MENU = b"default tc\nlabel tc\nkernel /boot/vmlinuz\nappend initrd=/boot/core.gz quiet\n"


def write(folder: Path, content: bytes, name: str = "image.iso") -> str:
    (folder / name).write_bytes(content)
    return str(folder / name)


def iso(root: Tree | None = None, **options: object) -> bytes:
    settings = {"root": clean() if root is None else root, "menu": MENU, **options}
    return make_core_iso(**settings)  # type: ignore[arg-type]


def found(folder: Path, content: bytes) -> list[tuple[str, str, str, str]]:
    result = lint_image(write(folder, content))
    assert result.faults == ()
    return brief(result.findings)


def test_clean_image_has_no_finding(tmp_path: Path) -> None:
    assert lint_image(write(tmp_path, iso())) == Lint()


# Boot menus.


@pytest.mark.parametrize(
    ("menu", "subjects"),
    [
        (MENU.replace(b"core.gz", b"gone.gz"), ["/boot/gone.gz"]),
        (MENU.replace(b"/boot/vmlinuz", b"/boot/gone"), ["/boot/gone"]),
        (MENU.replace(b"=/boot/core.gz", b"=/boot/core.gz,/boot/b.gz"), ["/boot/b.gz"]),
        (MENU + b"ui gone.c32\n", ["gone.c32"]),
        (MENU + b"label m\nkernel /boot/memdisk\n", ["/boot/memdisk"]),
        (MENU + b"label m\nkernel /BOOT/VMLINUZ\n", []),
        (MENU + b"label m\nlocalboot 0x80\n", []),
        (MENU + b"label m\nkernel http://x.test/vmlinuz\n", []),
        (MENU + b"label a\nkernel gone\nlabel b\nkernel gone\n", ["gone"]),
    ],
)
def test_menu_that_names_a_missing_file(tmp_path: Path, menu: bytes, subjects: list[str]) -> None:
    rows = found(tmp_path, iso(menu=menu))
    assert rows == [
        ("PK601", "the image", "boot/isolinux/isolinux.cfg", subject) for subject in subjects
    ]


def test_menu_in_an_image_for_uefi_may_name_files_of_the_disc(tmp_path: Path) -> None:
    def subjects(menu: bytes) -> list[tuple[str, str]]:
        image = write(tmp_path, make_uefi_iso(menu))
        findings = lint_image(image).findings
        return [(each.path.decode(), each.subject) for each in findings if each.code == "PK601"]

    there = b'menuentry "tc" {\n  linux /boot/vmlinuz\n  initrd /boot/core.gz\n}\n'
    assert subjects(there) == []
    gone = there.replace(b"core.gz", b"gone.gz") + b'menuentry "d" {\n linux (hd1,1)/x\n}\n'
    assert subjects(gone) == [(f"{EFI_IMAGE.decode()}:EFI/BOOT/GRUB.CFG", "/boot/gone.gz")]


def test_menus_of_grub_and_systemd_boot_are_checked(tmp_path: Path) -> None:
    files = {
        b"boot/grub/grub.cfg": b'menuentry "a" {\n linux /boot/gone-a\n}\n',
        b"loader/entries/b.conf": b"title b\nlinux /boot/gone-b\n",
    }
    rows = found(tmp_path, iso(beside_boot=files))
    assert [(code, path, subject) for code, _owner, path, subject in rows] == [
        ("PK601", "boot/grub/grub.cfg", "/boot/gone-a"),
        ("PK601", "loader/loader.conf", "/boot/gone-b"),
    ]


# Extensions, and images of other kinds.


def test_extensions_in_the_image_are_checked(tmp_path: Path) -> None:
    tree = tree_of({"usr/local/bin/x": b"#!/usr/bin/python3\n"})
    put(tree, "usr/local/bin/su", b"x", mode=0o4755)
    files = {b"cde/optional/x.tcz": pack(tree), b"cde/onboot.lst": b"x.tcz\n"}
    assert found(tmp_path, iso(beside_boot=files)) == [
        ("PK301", "x.tcz", "usr/local/bin/x", "/usr/bin/python3"),
        ("PK704", "x.tcz", "usr/local/bin/su", ""),
    ]


def test_extension_alone_is_checked_for_what_needs_no_system(tmp_path: Path) -> None:
    tree = tree_of({"usr/local/bin/x": b"#!/usr/bin/python3\n", "usr/local/bin/y": b"->/gone"})
    put(tree, "usr/local/etc/x.conf", b"", mode=0o666)
    result = lint_image(write(tmp_path, pack(tree), "x.tcz"))
    assert brief(result.findings) == [("PK705", "the image", "usr/local/etc/x.conf", "")]


def test_initrd_alone_is_checked_as_a_root(tmp_path: Path) -> None:
    root = clean()
    root.remove(b"init")
    assert found(tmp_path, gzip(build_cpio(root))) == [("PK602", "the image", "init", "")]


def test_kernel_alone_has_no_finding(tmp_path: Path) -> None:
    iso_of_core = tmp_path / "core.iso"
    iso_of_core.write_bytes(iso())
    assert lint_image(f"{iso_of_core}:boot/vmlinuz") == Lint()


def test_what_cannot_be_read_is_a_fault_and_the_rest_is_checked(tmp_path: Path) -> None:
    menu = MENU + b"label b\nkernel gone\n"
    result = lint_image(write(tmp_path, iso(core=b"\x1f\x8b\x08 no deflate data", menu=menu)))
    assert [each.code for each in result.findings] == ["PK601"]
    assert ["boot/core.gz" in str(fault) for fault in result.faults] == [True]


def test_damaged_extension_is_a_fault_and_a_finding(tmp_path: Path) -> None:
    files = {b"cde/optional/x.tcz": b"hsqs" + bytes(200), b"cde/onboot.lst": b"x.tcz\n"}
    result = lint_image(write(tmp_path, iso(beside_boot=files)))
    assert [each.code for each in result.findings] == ["PK110"]
    assert len(result.faults) == 1


# The base.


def base_with_faults() -> Tree:
    root = clean()
    put(root, "etc/alternative", b"->gone")
    put(root, "bin/su", b"x", mode=0o4755)
    return root


def test_findings_of_the_given_base_are_the_base_s(tmp_path: Path) -> None:
    base = write(tmp_path, gzip(build_cpio(base_with_faults())), "core.gz")
    root = base_with_faults()
    put(root, "etc/other", b"->gone")
    result = lint_image(write(tmp_path, iso(root)), base=base)
    assert [(each.path, each.owner) for each in result.findings] == [(b"etc/other", IMAGE)]
    assert [(each.path, each.owner) for each in result.base] == [
        (b"etc/alternative", BASE),
        (b"bin/su", BASE),
    ]
    assert result.bases == (base,)


def test_other_program_at_the_path_of_a_setuid_program_of_the_base_is_found(
    tmp_path: Path,
) -> None:
    base = write(tmp_path, gzip(build_cpio(base_with_faults())), "core.gz")
    root = base_with_faults()
    root.remove(b"bin/su")
    put(root, "bin/su", b"y", mode=0o4755)
    result = lint_image(write(tmp_path, iso(root)), base=base)
    assert [each.path for each in result.findings] == [b"bin/su"]


def test_known_base_is_told_by_its_busybox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = base_with_faults()
    image = write(tmp_path, iso(root))
    digests = frozenset(each.digest for each in lint_image(image).findings)
    known = KnownBase(name="Test 1", program=program_digest(root) or "", findings=digests)
    other = KnownBase(name="Test 2", program="0" * 16, findings=frozenset())
    monkeypatch.setattr("purekernel.analysis.known_bases.load_known_bases", lambda: [other, known])
    result = lint_image(image)
    assert (result.findings, len(result.base), result.bases) == ((), 2, ("Test 1",))


def test_packing_a_kernel_module_in_another_way_keeps_its_finding() -> None:
    def digest(path: bytes) -> str:
        return Finding(code="PK604", owner=IMAGE, path=path, message="", remedy="").digest

    assert digest(b"a.ko") == digest(b"a.ko.gz") == digest(b"a.ko.xz") != digest(b"b.ko")


def test_list_of_known_bases_is_read_as_it_is_written() -> None:
    bases = load_known_bases()
    assert parse_known_bases(build_known_bases(bases)) == bases
    assert {"Core 4.4", "the sample"} <= {base.name for base in bases}
    assert all(len(digest) == 12 for base in bases for digest in base.findings)


def test_origins_in_the_image_tell_whose_a_file_is(tmp_path: Path) -> None:
    sources = {
        b"": Origin(OriginKind.BASE, "core.iso"),
        b"bin/su": Origin(OriginKind.PACKAGE, "login", "1.0"),
        b"etc/x": Origin(OriginKind.OVERLAY, "site"),
        b"etc/y": Origin(OriginKind.GENERATED, "purekernel"),
    }
    root = base_with_faults()
    for path in ("etc/x", "etc/y"):
        put(root, path, b"", mode=0o666)
    paths = {path: sources.get(path, sources[b""]) for path, _node in root.walk()}
    origins = Origins(root=OriginMap.of_paths(paths)).to_json()
    content = iso(root, beside_boot={module.ORIGINS: origins})
    result = lint_image(write(tmp_path, content))
    assert [(each.path, each.owner) for each in result.base] == [(b"etc/alternative", BASE)]
    assert {(each.path, each.owner.kind, each.owner.name) for each in result.findings} == {
        (b"bin/su", OwnerKind.PACKAGE, "login"),
        (b"etc/x", OwnerKind.OVERLAY, "site"),
        (b"etc/y", OwnerKind.BUILD, "this build"),
    }


def test_damaged_origins_are_a_fault(tmp_path: Path) -> None:
    result = lint_image(write(tmp_path, iso(beside_boot={module.ORIGINS: b"{"})))
    assert result.findings == ()
    assert ["origins.json" in str(fault) for fault in result.faults] == [True]


# What is reported.


def test_findings_are_selected_and_ignored(tmp_path: Path) -> None:
    image = write(tmp_path, iso(base_with_faults()))

    def codes(*select: str, ignore: tuple[str, ...] = ()) -> tuple[list[str], list[str]]:
        result, unused = lint_and_select(image, select=select, ignore=ignore)
        return [each.code for each in result.findings], unused

    assert codes() == (["PK501", "PK704"], [])
    assert codes("PK7") == (["PK704"], [])
    assert codes("PK7", "PK501") == (["PK501", "PK704"], [])
    assert codes(ignore=("PK501:etc/*",)) == (["PK704"], [])
    assert codes(ignore=("PK704:/bin/su", "PK501:bin/*")) == (["PK501"], ["PK501:bin/*"])


def test_codes_that_do_not_exist_are_refused() -> None:
    assert parse_selection(["PK", "PK70"], ["PK705:a:b"]).select == ("PK", "PK70")
    with pytest.raises(CombinedError) as caught:
        parse_selection(["PK9", "pk1"], ["PK999", "PK501:"])
    assert [str(error) for error in caught.value.errors] == [
        f"{text}: no finding has this code" for text in ("PK9", "pk1", "PK999", "PK501:")
    ]
    assert {type(error) for error in caught.value.errors} == {UsageError}


def test_lines_count_findings_and_those_of_the_base() -> None:
    def finding(code: str, path: bytes) -> Finding:
        owner = FileOwner(OwnerKind.OVERLAY, "site")
        return Finding(code=code, owner=owner, path=path, message="m", remedy="r")

    result = Lint(
        findings=(finding("PK601", b"a"), finding("PK501", b"b"), finding("PK501", b"c")),
        base=(finding("PK604", b"d"),),
        bases=("Core 4.4",),
    )
    assert result.lines() == [
        "PK601 error: site: m: r",
        "PK501 warning: site: m: r",
        "PK501 warning: site: m: r",
        "1 error, 2 warnings",
        "1 finding in the base itself (Core 4.4); --base shows them",
    ]
    assert result.lines(with_base=True)[-2:] == [
        "1 finding in the base itself (Core 4.4)",
        "PK604 note: site: m: r",
    ]
    assert Lint().lines() == ["no findings"]
    assert Lint(faults=(UsageError("x"),)).lines() == ["no findings in what could be read"]
    assert result.json()["base"] == {"names": ["Core 4.4"], "findings": 1}


def test_every_code_has_a_section_in_the_page() -> None:
    page = read_page("docs/findings.md")
    for code, rule in RULES.items():
        assert f"](#{code.lower()}) |\n" in page
        section = page.partition(f"\n### {code}\n\n")[2].partition("\n#")[0]
        title = rule.title[0].upper() + rule.title[1:]
        assert section.startswith(f"{title} ({rule.severity.value}). ")
        assert "**What to do.** " in section
