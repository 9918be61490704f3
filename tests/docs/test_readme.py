"""Run every command of the README, in the order of the page, in one shell."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from fixtures.gem import make_gem
from fixtures.gem_server import lay_out_server
from fixtures.project import (
    make_project,
    make_rubygems_tarball,
    make_vm_tools_tarball,
    write_tree,
)
from purekernel.cli import main
from tests.debs import control, deb
from tests.docs.pages import block, commands, read_page
from tests.processes import ROOT, environment
from tests.shared import mirror

README = read_page("README.md")

# Commands that the test does not run, by language and text, each with the reason.
BY_CI = ".ci/run runs this line of the page in a fresh clone"
ON_WINDOWS = "for PowerShell; the same steps as the lines for sh"
INSTALL = "python3 -m venv .venv && . .venv/bin/activate && pip install --quiet"
TESTS = "python -m pytest -n auto --dist loadfile -m "
NOT_RUN = {
    ("sh", f"{INSTALL} . && purekernel build --sample"): BY_CI,
    ("sh", f"{INSTALL} -e '.[test]' && {TESTS}'not boot and not faults and not nightly'"): BY_CI,
    ("sh", f"{TESTS}fast"): "the tests themselves; .ci/run measures what they execute",
    ("sh", ". .venv/bin/activate"): "part of the lines that .ci/run runs",
    ("powershell", "py -m venv .venv"): ON_WINDOWS,
    ("powershell", r'$env:Path = "$PWD\.venv\Scripts;$env:Path"'): ON_WINDOWS,
    ("powershell", "pip install --quiet ."): ON_WINDOWS,
    ("powershell", "purekernel build --sample"): ON_WINDOWS,
    ("powershell", 'pip install --quiet -e ".[test]"'): ON_WINDOWS,
    (
        "powershell",
        'python -m pytest -n auto --dist loadfile -m "not boot and not faults and not nightly"',
    ): ON_WINDOWS,
    ("sh", "purekernel build --effort max"): "takes minutes; tests/remaster has its effects",
    (
        "sh",
        "purekernel build --executor dask://HOST:8786",
    ): "HOST stands for a machine of the reader's; tests/encode/cluster starts a cluster",
    (
        "sh",
        "git clone https://github.com/puppetlabs/Razor-Microkernel",
    ): "needs the network; the test makes a folder of this name in the project's layout",
    (
        "sh",
        "apt install advancecomp pigz busybox-static p7zip-full",
    ): "needs root and the network; .ci/run installs these",
    ("sh", "purekernel run my-core.iso"): "starts a machine; tests/boot starts some",
    ("sh", "python -m benchmarks.compression"): "needs root and a quarter of an hour",
}

# Files that, according to the page, these commands write.
WRITTEN = (
    "my-core/purekernel.toml",
    "my-core/purekernel.lock",
    "my-core/my-core.iso",
    "my-core/my-core.pxe/pxelinux.cfg/default",
    "my-core/core.gz",
    "my-core/vmlinuz",
    "my-core/my.tcz",
    "my-core/lshw.tcz",
    "Razor-Microkernel/build-files/razor-microkernel-bundle-dev.tar.gz",
    "Razor-Microkernel/rz_mk_dev-image.0.9.0.1.iso",
)


class QuietHandler(SimpleHTTPRequestHandler):
    """Serve a folder without printing requests."""

    def log_message(self, *_arguments: Any) -> None:
        pass


@pytest.fixture
def mirror_url() -> Iterator[str]:
    """Serve the shared mirror on 127.0.0.1; yield the URL of its ``tinycorelinux``."""
    folder = mirror()
    handler = partial(QuietHandler, directory=str(folder.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/{folder.name}"
        finally:
            server.shutdown()
            thread.join()


def make_razor_checkout(top: Path) -> dict[str, str]:
    """Make the folder that ``git clone`` would create; return settings for its downloads."""
    project = make_project(builtins=["bash.tcz"], mirrored=["nano.tcz"], gems=["sample_gem"])
    write_tree(project, top / "Razor-Microkernel")
    downloads = top / "downloads"
    lay_out_server(downloads / "gems", [make_gem("sample_gem", "1.0")], compact=False)
    rubygems, vm_tools = downloads / "rubygems-1.8.24.tgz", downloads / "mk-open-vm-tools.tar.gz"
    rubygems.write_bytes(make_rubygems_tarball())
    vm_tools.write_bytes(make_vm_tools_tarball())
    return {
        "MK_BUNDLE_RUBY_GEMS_URL": rubygems.as_uri(),
        "MK_BUNDLE_OPEN_VM_TOOLS_URL": vm_tools.as_uri(),
        "MK_BUNDLE_GEM_SERVER_URI": (downloads / "gems").as_uri(),
    }


def script_of_page(mirror_url: str) -> str:
    """Return a shell script of the page's commands that stops at the first failure."""
    lines = ["set -e"]
    for command in commands(README):
        if (command.language, command.text) in NOT_RUN:
            continue
        lines += [f"echo '== README.md, line {command.line}'", command.text]
        if command.text.startswith("purekernel init"):
            # The page describes this edit for the user's own mirror.
            lines.append(
                f"""sed -i.bak 's|^#tinycore = .*|tinycore = ["{mirror_url}"]|' purekernel.toml"""
            )
    return "\n".join(lines) + "\n"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the page's commands are for sh")
def test_all_commands_of_the_page_run_in_order(tmp_path: Path, mirror_url: str) -> None:
    scripts = str(Path(sys.executable).parent)
    assert shutil.which("purekernel", path=scripts), "install purekernel beside this Python"
    settings = make_razor_checkout(tmp_path)
    (tmp_path / "my-core").mkdir()
    package = tmp_path / "my-core" / "lshw_02.19-2_i386.deb"
    package.write_bytes(deb(control("lshw", "02.19-2")))
    script = script_of_page(mirror_url).replace("\nmkdir my-core\n", "\nmkdir -p my-core\n")
    done = subprocess.run(
        ["sh"],
        input=script,
        cwd=tmp_path,
        env=environment(
            PATH=f"{scripts}:/usr/bin:/bin",
            MK_BUNDLE_TCL_MIRROR_URI=f"{mirror_url}/4.x/x86/tcz",
            MK_BUNDLE_TCL_ISO_URL=f"{mirror_url}/4.x/x86/release/Core-current.iso",
            PUREKERNEL_CACHE=str(tmp_path / "cache"),
            SOURCE_DATE_EPOCH=None,
            **settings,
        ),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=1800,  # a minute of work, on a machine that may be busy
    )
    assert done.returncode == 0, done.stdout[-3000:]
    recipe = (tmp_path / "my-core" / "purekernel.toml").read_text(encoding="utf-8")
    assert f'\ntinycore = ["{mirror_url}"]\n' in recipe
    assert [name for name in WRITTEN if not (tmp_path / name).is_file()] == []


def test_commands_listed_as_not_run_are_on_the_page() -> None:
    on_page = {(command.language, command.text) for command in commands(README)}
    assert set(NOT_RUN) - on_page == set()


def test_all_powershell_lines_are_listed() -> None:
    for_windows = {
        (command.language, command.text)
        for command in commands(README)
        if command.language == "powershell"
    }
    assert for_windows - set(NOT_RUN) == set()


def test_no_command_has_a_comment() -> None:
    # zsh, the default shell of macOS, passes pasted comments to the command as arguments.
    assert [command for command in commands(README) if re.search(r"(^|\s)#", command.text)] == []


def test_commands_are_found_in_fences_sentences_and_tables() -> None:
    page = (
        "Run `tool --now` in `a/folder` or `tool`.\n"
        "```sh\ntool first\n\ntool second\n```\n"
        "```toml\nkey = 1\n```\n"
        "| to | run |\n|---|---|\n| see | `tool` |\n\n"
        "| to | add to `tool build` |\n|---|---|\n| see | `--this 1`, `--that` (or `FILE`) |\n\n"
        "`--alone` and `FILE`\n"
    )
    assert [(command.line, command.text) for command in commands(page)] == [
        (1, "tool --now"),
        (3, "tool first"),
        (5, "tool second"),
        (12, "tool"),
        (16, "tool build --this 1"),
        (16, "tool build --that"),
    ]
    with pytest.raises(AssertionError, match="line 1: unknown language of a fence: 'fish'"):
        commands("```fish\ntool\n```\n")


def test_library_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(block(README, "test: library"), "README.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("rz_mk_dev-image.1.2.3 Razor MK 1.2.3 ")
    assert lines[1] == "True"
    assert lines[2].startswith("out/rz_mk_dev-image.1.2.3.iso ")
    assert (tmp_path / "out" / "rz_mk_dev-image.1.2.3.pxe" / "boot.ipxe").is_file()


def test_each_of_the_two_commands_is_one_line() -> None:
    for mark in ("ci: sample", "ci: tests"):
        assert len(block(README, mark).splitlines()) == 1


@pytest.mark.parametrize("page", ["README.md", "docs/gathering.md"])
def test_options_named_by_a_page_exist(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("build", "bundle", "deps", "fetch", "init", "lock", "rebuild"):
        assert main([name, "--help"]) == 0
    helped = capsys.readouterr().out
    text = (ROOT / page).read_text(encoding="utf-8")
    others = {"--quiet", "--dist", "--clear-sources", "--source"}  # options of pip, pytest and gem
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)) - others
    assert named
    assert not {option for option in named if option not in helped}


def test_links_between_pages_lead_to_files() -> None:
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
