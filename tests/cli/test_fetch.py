"""Test commands that fetch: mirrors, faults, indexes, overlays and lock files."""

from __future__ import annotations

import gzip as gzip_module
import hashlib
import os
import shutil
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from fixtures.compress import gzip
from fixtures.core import make_core_tree
from fixtures.core_iso import make_core_iso
from fixtures.gem import make_gem
from fixtures.gem_server import lay_out_server
from fixtures.kernel import RELEASE
from fixtures.repository import TCZ, make_extension, make_repository
from purekernel.cli import main
from purekernel.formats.cpio import parse_cpio
from purekernel.formats.tar import build_tar
from purekernel.input import Input
from purekernel.plan.lock import Lock, parse_lock
from purekernel.tree import File, Metadata, Tree
from tests.debs import control, listed
from tests.fetch.answers import cut, redirect, status
from tests.fetch.fetching import closed_port
from tests.fetch.server import Server
from tests.shared import extension
from tests.workshop import core_iso, notes, two_lines

# Shorten the pauses between attempts.
DOWNLOADS = "[downloads]\nattempts = 2\nstall-seconds = 1\n"

PORTAL = b"<!DOCTYPE html><html><title>Log in to this network</title></html>"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plain_surroundings: None) -> Path:
    """Make a folder with the base ISO, and change to it."""
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / "Core.iso").write_bytes(core_iso())
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PUREKERNEL_CACHE", str(tmp_path / "cache"))
    return folder


def write_recipe(*mirrors: Server | str, extensions: str = "", more: str = "") -> None:
    """Write a recipe that lists these mirrors of Tiny Core."""
    places = [mirror if isinstance(mirror, str) else mirror.url for mirror in mirrors]
    iso = "" if more.startswith("[core]") else '[core]\niso = "Core.iso"\n'
    text = f"{iso}{more}\n[mirrors]\ntinycore = {places}\n[extensions]\n{extensions}\n{DOWNLOADS}"
    Path("purekernel.toml").write_text(text, encoding="utf-8")


def serve(server: Server, files: Mapping[str, bytes]) -> None:
    for path, content in files.items():
        server.put(f"/{path}", content)


def load_lock() -> Lock:
    return parse_lock(Path("purekernel.lock").read_bytes(), source="lock")


def errors(capsys: pytest.CaptureFixture[str]) -> list[tuple[str, str]]:
    return two_lines(capsys.readouterr().err)


UNAUTHENTICATED = (
    "{count} unauthenticated: fetched over plain http, with no signature, and no SHA-256 in a "
    "recipe or a lock file ({url})"
)
NEEDS: dict[str, list[str]] = {"bash.tcz": ["readline.tcz"], "readline.tcz": []}


# Mirrors


@pytest.fixture
def fallback(here: Path, server: Server) -> Iterator[tuple[Server, str]]:
    """Write a recipe with an https mirror that is down, and then a plain http mirror."""
    serve(server, make_repository(NEEDS))
    with closed_port() as port:
        write_recipe(f"https://127.0.0.1:{port}", server, extensions='builtin = ["bash"]')
        yield server, f"{server.url}/{TCZ}"


@pytest.mark.parametrize("command", [["fetch", "-q"], ["lock"], ["deps", "bash"]])
def test_plain_http_mirror_does_not_stand_in_for_https(
    command: list[str], fallback: tuple[Server, str], capsys: pytest.CaptureFixture[str]
) -> None:
    server, place = fallback
    assert main(command) == 3
    ((message, hint),) = errors(capsys)
    assert "dep.db.gz cannot be fetched: https://127.0.0.1:" in message
    assert hint == f"plain http was not tried ({place}): to permit it, use --allow-http"
    assert server.asked == []


@pytest.mark.parametrize("options", [[], ["--allow-http"]])
def test_plain_http_gem_server_does_not_stand_in_for_https(
    options: list[str], here: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    with closed_port() as port:
        servers = [f"https://127.0.0.1:{port}", server.url]
        write_recipe("mirror", more="[gems]\nwanted = ['sample']\n")
        recipe = Path("purekernel.toml").read_text(encoding="utf-8")
        Path("purekernel.toml").write_text(
            recipe.replace("[mirrors]\n", f"[mirrors]\ngems = {servers}\n"), encoding="utf-8"
        )
        assert main(["fetch", "-q", *options]) != 0
    hints = [hint for _message, hint in errors(capsys)]
    hint = f"plain http was not tried ({server.url}): to permit it, use --allow-http"
    assert (hint in hints) == (options == [])
    assert (server.asked == []) == (options == [])


@pytest.mark.slow
@pytest.mark.parametrize("permitted_by", ["option", "recipe"])
def test_permitted_plain_http_mirror_is_used_and_noted(
    permitted_by: str, fallback: tuple[Server, str], capsys: pytest.CaptureFixture[str]
) -> None:
    _server, place = fallback
    options = ["--allow-http"] if permitted_by == "option" else []
    if permitted_by == "recipe":
        recipe = Path("purekernel.toml")
        recipe.write_text(recipe.read_text(encoding="utf-8") + "allow-http = true\n")
    assert main(["fetch", "-q", *options]) == 0
    skipped, note = notes(capsys.readouterr().err)
    assert "was skipped" in skipped
    assert note == UNAUTHENTICATED.format(count="5 files are", url=f"{place}/readline.tcz, …")
    assert main(["lock", "-q", *options]) == 0
    assert "unauthenticated" in capsys.readouterr().err
    # The lock file pins the SHA-256 of every file.
    shutil.rmtree(os.environ["PUREKERNEL_CACHE"])
    write_recipe(*load_toml_mirrors(), extensions='builtin = ["bash"]')
    assert main(["fetch", "-q"]) == 0
    assert capsys.readouterr().err == ""


def load_toml_mirrors() -> list[str]:
    document = tomllib.loads(Path("purekernel.toml").read_text(encoding="utf-8"))
    return list(document["mirrors"]["tinycore"])


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", [["fetch", "-q"], ["lock", "-q"], ["lock", "-q", "--update"], ["deps", "bash"]]
)
def test_files_of_a_hostile_mirror_do_not_stay(
    command: list[str], here: Path, server: Server
) -> None:
    """The hostile mirror gives its files the validators of the right ones."""
    tags = {"ETag": '"same"', "Last_Modified": "Thu, 14 Nov 2013 10:00:00 GMT"}
    hostile = {"bash.tcz": make_extension("hostile", 136)}
    for path, content in make_repository({"bash.tcz": []}, contents=hostile).items():
        server.put(f"/{path}", content, **tags)
    write_recipe(server, extensions='builtin = ["bash"]')
    assert main(command) == 0
    Path("purekernel.lock").unlink(missing_ok=True)
    right = make_repository(NEEDS)
    for path, content in right.items():
        server.put(f"/{path}", content, **tags)
    assert main(["lock", "-q"]) == 0
    lock = load_lock()
    assert set(lock.extensions) == set(NEEDS)
    for name, pinned in lock.extensions.items():
        assert pinned.file.sha256 == hashlib.sha256(right[f"{TCZ}/{name}"]).hexdigest()
    assert 304 not in server.statuses()


@pytest.mark.slow
def test_changed_token_in_the_query_is_accepted(
    here: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    """The query is added to every URL; it is neither printed nor written to the lock file."""
    files = {**make_repository(NEEDS), "4.x/x86/release/Core-current.iso": core_iso()}
    recipe = '[core]\nversion = "4.x"\n'
    for token in ("s3cret-1/", "s3cret-2/"):
        serve(server, {f"tc/{path}?token={token}": content for path, content in files.items()})
    write_recipe(f"{server.url}/tc/?token=s3cret-1/", extensions='builtin = ["bash"]', more=recipe)
    assert main(["lock", "-v"]) == 0
    assert main(["fetch", "-v"]) == 0
    base = load_lock().files["base"]
    assert base.requested == "4.x/x86/release/Core-current.iso"
    assert base.pin.url == f"{server.url}/tc/{base.requested}?token=***"
    write_recipe(f"{server.url}/tc/?token=s3cret-2/", extensions='builtin = ["bash"]', more=recipe)
    shutil.rmtree(os.environ["PUREKERNEL_CACHE"])
    assert main(["fetch", "-v"]) == 0
    assert {asked.target.partition("?")[2] for asked in server.asked} == {
        "token=s3cret-1/",
        "token=s3cret-2/",
    }
    said = "".join(capsys.readouterr())
    assert "Core-current.iso?token=***" in said
    assert "s3cret" not in said
    assert "s3cret" not in Path("purekernel.lock").read_text(encoding="utf-8")


@pytest.mark.slow
def test_captive_portal_is_reported_for_locked_files(
    here: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    serve(server, make_repository({"bash.tcz": []}))
    write_recipe(server, extensions='builtin = ["bash"]')
    assert main(["lock", "-q"]) == 0
    shutil.rmtree(os.environ["PUREKERNEL_CACHE"])
    server.script(f"/{TCZ}/bash.tcz", *[status(200, PORTAL, Content_Type="text/html")] * 9)
    assert main(["fetch", "-q"]) == 3
    ((message, hint),) = errors(capsys)
    assert "got a web page instead of the file, perhaps from a captive portal or" in message
    assert hint == "open the URL in a browser"


def test_missing_optional_file_is_accepted(here: Path, server: Server) -> None:
    files = make_repository(NEEDS)
    for name in ("bash.tcz.info", "bash.tcz.md5.txt"):
        del files[f"{TCZ}/{name}"]
    serve(server, files)
    write_recipe(server, extensions='builtin = ["bash"]')
    assert main(["fetch", "-q"]) == 0
    assert server.statuses(f"/{TCZ}/bash.tcz.md5.txt") == [404]


@pytest.mark.slow
def test_missing_file_is_reported_with_all_mirrors(
    here: Path, server: Server, second: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    for one in (server, second):
        files = make_repository(NEEDS)
        del files[f"{TCZ}/bash.tcz"]
        serve(one, files)
    write_recipe(server, second, extensions='builtin = ["bash"]')
    assert main(["fetch"]) == 1
    ((message, hint),) = errors(capsys)
    places = ", ".join(f"{one.url}/{TCZ}/bash.tcz" for one in (server, second))
    assert message.startswith("purekernel.toml, line ")
    assert message.endswith(", builtin under [extensions]: no mirror has bash.tcz")
    assert hint == f"looked for {places}; use another mirror, or leave it out with --skip bash.tcz"


@pytest.mark.slow
def test_files_are_fetched_from_a_partial_and_a_complete_mirror(
    here: Path, server: Server, second: Server
) -> None:
    serve(server, make_repository({"own.tcz": ["bash.tcz"]}, indexes=False))
    serve(second, make_repository(NEEDS))
    write_recipe(server, second, extensions='builtin = ["own"]')
    assert main(["lock", "-q"]) == 0
    lock = load_lock()
    assert lock.extensions["own.tcz"].dependencies == ("bash.tcz",)
    assert lock.extensions["bash.tcz"].dependencies == ("readline.tcz",)
    assert set(lock.extensions["bash.tcz"].companions) == {".md5.txt", ".dep", ".info", ".list"}
    assert lock.extensions["own.tcz"].file.url.startswith(server.url)
    assert lock.extensions["bash.tcz"].file.url.startswith(second.url)


@pytest.mark.slow
def test_next_mirror_is_used_if_one_is_down(
    here: Path, server: Server, unanswering: int, capsys: pytest.CaptureFixture[str]
) -> None:
    serve(server, make_repository(NEEDS))
    with Server().running() as gone:
        closed = gone.url
    write_recipe(closed, server, extensions='builtin = ["bash"]')
    assert main(["fetch", "-q"]) == 0
    write_recipe(closed, server, extensions='builtin = ["bash", "unheard-of"]')
    capsys.readouterr()
    assert main(["fetch"]) == 3
    # Whether the first mirror has the file is unknown.
    assert any(closed in message for message, _hint in errors(capsys))


@pytest.mark.slow
def test_temporary_faults_are_retried(here: Path, server: Server) -> None:
    serve(server, make_repository(NEEDS, contents={"bash.tcz": make_extension("bash", 200_000)}))
    write_recipe(server, extensions='builtin = ["bash"]')
    place = f"/{TCZ}/bash.tcz"
    server.script(place, status(500), cut(150_000))
    server.script(f"/{TCZ}/md5.db.gz", status(502))
    assert main(["fetch", "-q"]) == 0
    assert server.statuses(place) == [500, 200, 206]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "words", "exit_status"),
    [
        (status(200, PORTAL, Content_Type="text/html"), "web page", 3),
        (redirect(f"/{TCZ}/bash.tcz"), "redirect", 1),
        (status(200, make_extension("bash.tcz", 135)), "MD5", 1),
        (status(200, make_extension("b4sh.tcz", 136)), "MD5", 1),
        (status(403), "403", 1),
        (status(429), "429", 3),
        (status(503), "503", 3),
    ],
)
def test_response_with_other_content_is_refused(
    *,
    answer: object,
    words: str,
    exit_status: int,
    here: Path,
    server: Server,
    capsys: pytest.CaptureFixture[str],
) -> None:
    serve(server, make_repository(NEEDS))
    write_recipe(server, extensions='builtin = ["bash"]')
    server.script(f"/{TCZ}/bash.tcz", *[answer] * 40)  # type: ignore[list-item]
    assert main(["fetch"]) == exit_status
    ((message, _hint),) = errors(capsys)
    assert message.startswith("bash.tcz ")
    assert words in message
    # No part of the response is used.
    server.unscript(f"/{TCZ}/bash.tcz")
    assert main(["fetch", "--offline"]) == 1
    assert main(["fetch", "-q"]) == 0


@pytest.mark.slow
def test_all_errors_are_reported_in_one_run(
    here: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    needs = {**NEEDS, "nano.tcz": ["gone.tcz"], "odd.tcz": []}
    serve(server, make_repository(needs))
    write_recipe(server, extensions='builtin = ["bash", "nano", "unheard-of"]\nmirror = ["never"]')
    assert main(["fetch"]) == 1
    assert [message.rpartition("no mirror has ")[2] for message, _hint in errors(capsys)] == [
        "unheard-of.tcz",
        "never.tcz",
        "gone.tcz, which is needed: nano.tcz → gone.tcz",
    ]
    write_recipe(server, extensions='builtin = ["bash", "odd"]')
    for name in ("bash.tcz", "odd.tcz"):
        server.script(f"/{TCZ}/{name}", *[status(403)] * 9)
    assert main(["fetch"]) == 1
    assert [message.split()[0] for message, _hint in errors(capsys)] == ["bash.tcz", "odd.tcz"]


def test_invalid_lines_do_not_hide_other_errors(
    here: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    serve(server, make_repository(NEEDS))
    Path("b.lst").write_text("bash\na b\nunheard-of\nlshw.deb\n")
    Path("m.lst").write_text("/x\nnever\n")
    write_recipe(server, extensions='mirror-list = "m.lst"')
    assert main(["fetch", "-b", "b.lst"]) == 1
    told = [message for message, _hint in errors(capsys)]
    assert [message.split(":")[0] for message in told] == [
        "m.lst, line 1",
        "b.lst, line 2",
        "b.lst, line 4",
        "b.lst, line 3",
        "m.lst, line 2",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("command", [["build", "--dry-run"], ["fetch"], ["lock"]])
def test_missing_names_of_all_kinds_are_reported_together(
    here: Path, server: Server, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    files = make_repository({"a.tcz": ["gone.tcz"], "b.tcz": [], "c.tcz": []})
    del files[f"{TCZ}/b.tcz"]  # the index still lists it
    serve(server, files)
    lay_out_server(Path("gems"), [make_gem("here", "1")], compact=False)
    Path("Packages").write_bytes(listed(control("tool"), b"x", "pool/tool.deb"))
    lists = "builtin = ['a', 'typo1', 'none.deb']\nmirror = ['b', 'tool.deb', 'typo2']\n"
    write_recipe(
        server,
        extensions=f"{lists}merged = ['typo3', 'c']\n",
        more="[gems]\nwanted = ['nogem']\n",
    )
    recipe = Path("purekernel.toml").read_text()
    more = "[mirrors]\ngems = ['gems']\ndebian-packages = ['Packages']\n"
    Path("purekernel.toml").write_text(recipe.replace("[mirrors]\n", more))
    assert main(command) == 1
    messages = [message.split(" under ") for message, _hint in errors(capsys)]
    builtin, mirror, merged = (
        f"purekernel.toml, line {line}" for line in ("11, builtin", "12, mirror", "13, merged")
    )
    absent = "[extensions]: no mirror has "
    assert sorted(messages) == sorted(
        [
            [builtin, f"{absent}none.deb: no packages index has none"],
            [builtin, f"{absent}typo1.tcz"],
            [builtin, f"{absent}gone.tcz, which is needed: a.tcz → gone.tcz"],
            [mirror, f"{absent}b.tcz"],
            [mirror, f"{absent}tool_1.0-1_i386.deb"],
            [mirror, f"{absent}typo2.tcz"],
            [merged, f"{absent}typo3.tcz"],
            ["purekernel.toml, line 4, wanted", "[gems]: no mirror has the gem nogem"],
        ]
    )


@pytest.mark.slow
def test_searched_folders_are_named(
    here: Path, server: Server, second: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    serve(server, make_repository(NEEDS))
    write_recipe(server, second, extensions='builtin = ["bash", "unheard-of"]')
    assert main(["fetch"]) == 1
    ((_message, hint),) = errors(capsys)
    places = f"{server.url}/{TCZ}, {second.url}/{TCZ}"
    assert hint.startswith(f"looked in {places}; correct the name, or leave it out with --skip")
    # If no extension is found, the mirror is probably wrong, not the names.
    write_recipe(second, extensions='builtin = ["bash", "readline", "nano"]')
    assert main(["fetch"]) == 1
    found = errors(capsys)
    place = "purekernel.toml, line 7, builtin under [extensions]"
    assert [message for message, _hint in found] == [
        f"{place}: no mirror has {name}.tcz" for name in ("bash", "readline", "nano")
    ]
    (hint,) = {hint for _message, hint in found}
    assert hint.startswith(f"looked in {second.url}/{TCZ}; check the mirrors ([mirrors] in a rec")


def test_unreachable_mirror_is_reported_once(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Server().running() as gone:
        closed = gone.url
    write_recipe(closed, extensions='builtin = ["bash", "nano"]')
    assert main(["fetch"]) == 3
    ((message, _hint),) = errors(capsys)
    assert closed in message


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answers", "exit_status"), [((503, 503), 3), ((503, 403), 1), ((403, 503), 1)]
)
def test_exit_status_is_3_if_the_network_causes_all_errors(
    answers: tuple[int, int], exit_status: int, here: Path, server: Server
) -> None:
    serve(server, make_repository({**NEEDS, "nano.tcz": []}))
    write_recipe(server, extensions='builtin = ["bash", "nano"]')
    for name, answer in zip(("bash.tcz", "nano.tcz"), answers, strict=True):
        server.script(f"/{TCZ}/{name}", *[status(answer)] * 40)
    assert main(["fetch"]) == exit_status


@pytest.mark.slow
@pytest.mark.parametrize("names", [("server", "closed"), ("closed", "server")])
def test_exit_status_is_3_if_one_mirror_is_down_and_the_other_lacks_the_file(
    names: tuple[str, str], here: Path, server: Server
) -> None:
    with Server().running() as gone:
        urls = {"server": server.url, "closed": gone.url}
    files = make_repository(NEEDS)
    del files[f"{TCZ}/bash.tcz"]
    serve(server, files)
    write_recipe(*(urls[name] for name in names), extensions='builtin = ["bash"]')
    assert main(["fetch"]) == 3


def test_missing_overlays_are_reported_before_any_download(
    here: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    more = "".join(f'[[overlay]]\npath = "{name}"\n' for name in ("gone", "lost"))
    write_recipe(server, more=more)
    for options in (["--dry-run"], ["--emit", "core"]):
        assert main(["build", *options]) == 1
        messages = [message for message, _hint in errors(capsys)]
        assert messages == [
            f"purekernel.toml, line {line}, path under [[overlay]]: overlay not found: {name}"
            for line, name in ((4, "gone"), (6, "lost"))
        ]
    write_recipe(server)
    assert main(["build", "--emit", "core", "--overlay", "a", "--overlay", "b"]) == 1
    assert [message.split()[0] for message, _hint in errors(capsys)] == ["a", "b"]


@pytest.mark.slow
def test_too_many_extensions_are_refused_before_any_request(
    here: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("b.lst").write_text("".join(f"e{number}\n" for number in range(10_001)))
    write_recipe(server)
    assert main(["fetch", "-b", "b.lst"]) == 1
    ((message, hint),) = errors(capsys)
    assert message == (
        "the lists of extensions: expected at most 10000 extensions, with all that they depend "
        "on, got more"
    )
    assert hint == "shorten the lists"
    assert not server.asked


def test_skipped_and_unused_names_are_noted(
    here: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    serve(server, make_repository(NEEDS))
    write_recipe(server, extensions='builtin = ["bash", "unheard-of"]')
    skip = [option for name in ("unheard-of", "readline", "zzz") for option in ("--skip", name)]
    assert main(["fetch", "-q", *skip]) == 0
    assert notes(capsys.readouterr().err) == [
        "skipped as requested: readline.tcz",
        "skipped as requested: unheard-of.tcz",
        "nothing to skip, as nothing depends on it: zzz.tcz",
        UNAUTHENTICATED.format(count="3 files are", url=f"{server.url}/{TCZ}/bash.tcz, …"),
    ]


@pytest.mark.parametrize("release", ["a b", "../x", "", "x" * 65])
def test_invalid_kernel_release_is_refused(
    release: str, here: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    write_recipe(server)
    for command in (["fetch"], ["deps", "mod-KERNEL"]):
        assert main([*command, "--kernel-release", release]) == 2
        ((message, _hint),) = errors(capsys)
        assert message == (
            f'--kernel-release must be a kernel release, such as "3.0.3-tinycore", got {release!r}'
        )
    assert not server.asked


@pytest.mark.parametrize("option", ["--cache-dir", "--recipe", "-b", "-c", "--lock-file"])
def test_empty_path_is_refused(
    option: str, here: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    write_recipe(server)
    assert main(["fetch", option, ""]) == 2
    ((message, _hint),) = errors(capsys)
    assert "the path is empty" in message
    assert not Path("v1").exists()


# Indexes older than the files


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["builtin", "merged", "mirror"])
@pytest.mark.parametrize(
    "old",
    [
        {"bash.tcz": ["ncurses.tcz"], "ncurses.tcz": []},
        {"bash.tcz": ["readline5.tcz"]},
        {"bash.tcz": []},
    ],
)
def test_files_take_precedence_over_an_outdated_index(
    kind: str, old: dict[str, list[str]], here: Path, server: Server
) -> None:
    stale = make_repository(old)
    serve(server, stale)
    serve(server, make_repository(NEEDS))
    server.put(f"/{TCZ}/dep.db.gz", stale[f"{TCZ}/dep.db.gz"])
    write_recipe(server, extensions=f'{kind} = ["bash"]')
    assert main(["lock", "-q"]) == 0
    assert load_lock().extensions["bash.tcz"].dependencies == ("readline.tcz",)
    Path("purekernel.lock").unlink()
    assert main(["fetch", "-q"]) == 0
    assert main(["build", "--dry-run", "-q"]) == 0


@pytest.mark.slow
def test_file_with_a_wrong_index_entry_is_found_offline(here: Path, server: Server) -> None:
    stale = make_repository({"bash.tcz": []}, contents={"bash.tcz": make_extension("older", 136)})
    serve(server, make_repository(NEEDS))
    server.put(f"/{TCZ}/md5.db.gz", stale[f"{TCZ}/md5.db.gz"])
    write_recipe(server, extensions='builtin = ["bash"]')
    assert main(["fetch", "-q"]) == 0
    assert main(["fetch", "-q", "--offline"]) == 0


def test_errors_of_lists_are_reported_with_all_others(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Server().running() as gone:
        closed = gone.url
    Path("b.lst").write_text("bash\na b\n")
    more = '[[overlay]]\npath = "gone"\n'
    write_recipe(closed, extensions='builtin-list = "b.lst"', more=more)
    assert main(["fetch"]) == 1
    told = [message for message, _hint in errors(capsys)]
    assert [message.split(":")[0] for message in told[:2]] == [
        "b.lst, line 2",
        "purekernel.toml, line 4, path under [[overlay]]",
    ]
    assert closed in told[2]


@pytest.mark.slow
def test_index_with_an_old_size_is_ignored(here: Path, server: Server) -> None:
    serve(server, make_repository(NEEDS))
    server.put(f"/{TCZ}/sizelist.gz", gzip(b"bash.tcz 63\n"))
    write_recipe(server, extensions='builtin = ["bash"]')
    assert main(["fetch", "-q"]) == 0
    assert len(server.statuses(f"/{TCZ}/bash.tcz")) == 2


# Gem servers


def test_skipped_gem_server_is_noted(
    here: Path, server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lay_out_server(tmp_path / "gems", [make_gem("sample_gem", "1.0")])
    server.script("/info/sample_gem", *[status(503)] * 9)
    Path("purekernel.toml").write_text(
        f'[core]\niso = "Core.iso"\n[mirrors]\ngems = ["{server.url}", "{tmp_path}/gems"]\n'
        f'[gems]\nwanted = ["sample_gem"]\n{DOWNLOADS}',
        encoding="utf-8",
    )
    assert main(["fetch", "-q"]) == 0
    assert notes(capsys.readouterr().err) == [
        (
            f"the gem server {server.url} was skipped, and the other servers were used instead: "
            f"info/sample_gem cannot be fetched: {server.url}/info/sample_gem: "
            "status 503, Service Unavailable"
        )
    ]


# Unneeded files


@pytest.mark.slow
def test_build_without_extensions_requests_no_mirror(here: Path, server: Server) -> None:
    write_recipe(server)
    assert main(["build", "--emit", "core", "-q", "--offline"]) == 0
    assert main(["build", "--emit", "core", "-q"]) == 0
    assert main(["lock", "-q"]) == 0
    assert not server.asked


# The ISO


@pytest.mark.parametrize(
    "answer", [status(403), status(200, PORTAL, Content_Type="text/html"), status(200, b"-\n")]
)
def test_invalid_md5_file_beside_a_local_iso_is_noted(
    answer: object, here: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    server.put("/Core.iso?key=1", core_iso())
    server.script("/Core.iso.md5.txt?key=1", *[answer] * 9)  # type: ignore[list-item]
    write_recipe(server, more=f'[core]\niso = "{server.url}/Core.iso?key=1"')
    assert main(["build", "--emit", "core", "-q"]) == 0
    note, unauthenticated = notes(capsys.readouterr().err)
    assert note.startswith("Core.iso is not checked against an MD5: ")
    assert unauthenticated == UNAUTHENTICATED.format(
        count="1 file is", url=f"{server.url}/Core.iso?key=***"
    )
    assert len(server.statuses("/Core.iso.md5.txt?key=1")) == 1


def test_wrong_md5_beside_an_iso_is_refused(
    here: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    server.put("/Core.iso", core_iso())
    server.put("/Core.iso.md5.txt", b"0" * 32 + b"  Core.iso\n")
    write_recipe(server, more=f'[core]\niso = "{server.url}/Core.iso"')
    assert main(["build", "--emit", "core", "-q"]) == 1
    ((message, _hint),) = errors(capsys)
    assert message.startswith("purekernel.toml, line 2, iso under [core]: Core.iso ")
    assert "MD5" in message


@pytest.mark.slow
def test_missing_files_to_cut_are_reported_with_the_key_that_lists_them(
    here: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    content = extension("htop").read_bytes()
    serve(server, make_repository({"htop.tcz": []}, contents={"htop.tcz": content}))
    Path("cut.lst").write_text("usr/local/bin/htop\nusr/nope\n")
    more = '[[cut]]\nextension = "htop"\nlist = "cut.lst"\nfiles = ["usr/never"]\n'
    write_recipe(server, more=more)
    assert main(["build", "--emit", "core"]) == 1
    assert [message for message, _hint in errors(capsys)] == [
        "cut.lst, line 2: htop.tcz: 'usr/nope': not found in the extension",
        (
            "purekernel.toml, line 6, files under [[cut]]: htop.tcz: 'usr/never': not found in the "
            "extension"
        ),
    ]
    write_recipe(server, more=more.replace("htop", "gone"))
    assert main(["build", "--dry-run"]) == 1
    ((message, hint),) = errors(capsys)
    assert message.endswith(", extension under [[cut]]: no mirror has gone.tcz")
    assert hint == "correct the name, or take the files from another extension"


# Overlays from the network


def tarball(path: str, content: bytes) -> bytes:
    tree = Tree()
    tree.add_parents(path.encode())
    tree.add(path.encode(), File(metadata=Metadata(mode=0o644), content=content))
    return build_tar(tree)


def overlays(server: Server, *files: str) -> str:
    return "".join(f'[[overlay]]\nurl = "{server.url}/get?file={file}"\n' for file in files)


@pytest.mark.slow
def test_urls_with_different_queries_are_separate(
    here: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        server.put(f"/get?file={name}", tarball(f"etc/{name}", b"x\n"))
    write_recipe(server, more=overlays(server, "a"))
    assert main(["lock", "-q"]) == 0
    assert "file=a" not in Path("purekernel.lock").read_text()
    # The pin does not apply to another URL in the recipe.
    write_recipe(server, more=overlays(server, "b"))
    assert main(["lock", "--check", "-q"]) == 1
    assert main(["build", "--emit", "core", "-q"]) == 1
    assert "the lock file: no pin for " in errors(capsys)[-1][0]
    write_recipe(server, more=overlays(server, "a", "b"))
    assert main(["lock", "-q"]) == 0
    assert main(["build", "--emit", "core", "-q"]) == 0
    assert server.statuses("/get?file=b")


def test_digests_of_local_files_are_checked(
    here: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    content = tarball("etc/a", b"x\n")
    Path("site.tar").write_bytes(content)
    for digest, status_ in ((hashlib.sha256(content).hexdigest(), 0), ("0" * 64, 1)):
        write_recipe(server, more=f'[[overlay]]\npath = "site.tar"\nsha256 = "{digest}"\n')
        assert main(["build", "--emit", "core", "-q"]) == status_
    ((message, _hint),) = errors(capsys)
    place = "purekernel.toml, line 5, sha256 under [[overlay]]"
    assert message.startswith(f"{place}: site.tar failed verification: SHA-256 must be {'0' * 64}")


def test_digest_of_the_recipe_is_checked_with_a_lock(
    here: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    write_recipe(server)
    assert main(["lock", "-q"]) == 0
    write_recipe(server, more=f'[core]\niso = "Core.iso"\niso-sha256 = "{"0" * 64}"')
    assert main(["build", "--emit", "core", "-q"]) == 1
    assert "the lock file: wrong SHA-256 for base" in errors(capsys)[0][0]
    assert main(["lock", "--check", "-q"]) == 1
    assert "SHA-256" in errors(capsys)[0][0]


def test_manifest_without_times_gets_the_timestamp_of_the_image(here: Path, server: Server) -> None:
    Path("m.mtree").write_text("#mtree\n./etc type=dir mode=0755\n./etc/lnk type=link link=x\n")
    write_recipe(server, more='[[overlay]]\npath = "m.mtree"\n')
    assert main(["build", "--emit", "core", "-q", "--timestamp", "1500000000"]) == 0
    root = parse_cpio(Input(gzip_module.decompress(Path("core.gz").read_bytes()), name="core"))
    assert root[b"etc/lnk"].metadata.mtime == 1_500_000_000


# Lock files


@pytest.mark.slow
def test_updated_base_updates_the_kernel(here: Path, server: Server) -> None:
    other = "3.8.13-other"
    modules = {f"alsa-modules-{release}.tcz": [] for release in (RELEASE, other)}
    serve(server, make_repository(modules))
    write_recipe(server, extensions='builtin = ["alsa-modules-KERNEL"]')
    assert main(["lock", "-q"]) == 0
    assert load_lock().kernel == RELEASE
    core = make_core_tree()
    renamed = Tree(core[b""])
    for path, node in core.walk():
        if path:
            renamed.add(path.replace(RELEASE.encode(), other.encode()), node)
    Path("Core.iso").write_bytes(make_core_iso(root=renamed))
    assert main(["lock", "-q", "--update", "base"]) == 0
    assert load_lock().kernel == other
    assert list(load_lock().extensions) == [f"alsa-modules-{other}.tcz"]
    # A base newly named in the recipe also updates the kernel.
    Path("Old.iso").write_bytes(core_iso())
    write_recipe(
        server, more='[core]\niso = "Old.iso"', extensions='builtin = ["alsa-modules-KERNEL"]'
    )
    assert main(["lock", "-q"]) == 0
    assert load_lock().kernel == RELEASE


def test_check_and_build_agree_on_the_scope_of_a_lock(
    here: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    write_recipe(server)
    assert main(["lock", "-q"]) == 0
    shutil.copy("Core.iso", "Same.iso")
    write_recipe(server, more='[core]\niso = "Same.iso"')
    capsys.readouterr()
    assert main(["lock", "--check"]) == 1
    out, err = capsys.readouterr()
    assert "~ base: requested as Core.iso → Same.iso" in out.splitlines()
    assert two_lines(err) == [("purekernel.lock is not up to date", "run 'purekernel lock'")]
    assert main(["build", "--emit", "core", "-q"]) == 1
    assert main(["lock", "-q"]) == 0
    assert main(["lock", "--check"]) == 0
    assert main(["build", "--emit", "core", "-q"]) == 0


@pytest.mark.slow
def test_network_failure_is_not_reported_as_a_lock_error(
    here: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    serve(server, make_repository(NEEDS))
    write_recipe(server, extensions='builtin = ["bash"]')
    assert main(["lock", "-q"]) == 0
    shutil.rmtree(os.environ["PUREKERNEL_CACHE"])
    server.script(f"/{TCZ}/bash.tcz", *[status(503)] * 3)
    assert main(["fetch"]) == 3
    ((message, hint),) = errors(capsys)
    assert "503" in message
    assert "lock" not in hint
    server.put(f"/{TCZ}/bash.tcz", make_extension("another", 136))
    assert main(["fetch"]) == 1
    ((_message, hint),) = errors(capsys)
    assert "purekernel lock --update" in hint


def test_named_lock_file_must_exist(
    here: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    write_recipe(server)
    for name in ("typo.lock", "x" * 300):
        assert main(["build", "--emit", "core", "-q", "--lock-file", name]) == 1
        ((message, hint),) = errors(capsys)
        assert name in message
        assert "purekernel lock" in hint or len(name) == 300
    Path("purekernel.lock").symlink_to("gone.lock")
    assert main(["build", "--emit", "core", "-q"]) == 1
    assert "purekernel.lock" in errors(capsys)[0][0]
    assert main(["lock", "-q", "--lock-file", "new.lock"]) == 0
    assert main(["build", "--emit", "core", "-q", "--lock-file", "new.lock"]) == 0


@pytest.mark.slow
def test_changed_origin_of_an_unchanged_file_is_not_a_change(
    here: Path, server: Server, second: Server
) -> None:
    files = make_repository(NEEDS)
    serve(second, files)
    serve(server, files)
    write_recipe(server, second, extensions='builtin = ["bash"]')
    server.remove(f"/{TCZ}/bash.tcz")
    assert main(["lock", "-q"]) == 0
    before = Path("purekernel.lock").read_bytes()
    assert f"{second.url}/{TCZ}/bash.tcz" in before.decode()
    server.put(f"/{TCZ}/bash.tcz", files[f"{TCZ}/bash.tcz"])
    assert main(["lock", "-q", "--update"]) == 0
    assert Path("purekernel.lock").read_bytes() == before
    assert main(["lock", "--check", "-q"]) == 0


@pytest.mark.skipif(os.name == "nt", reason="names on Windows are text")
def test_input_names_that_are_not_utf_8_cannot_be_pinned(
    here: Path, server: Server, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = os.fsdecode(b"C\xffre.iso")
    shutil.copy("Core.iso", odd)
    Path("purekernel.toml").write_text(f'[mirrors]\ntinycore = ["{server.url}"]\n')
    monkeypatch.setenv("MK_BUNDLE_TCL_ISO_URL", odd)
    assert main(["lock"]) == 1
    ((message, _hint),) = errors(capsys)
    assert "must be UTF-8" in message


@pytest.mark.slow
def test_lock_asks_the_mirrors_in_spite_of_reuse(
    here: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    serve(server, make_repository({"bash.tcz": []}))
    write_recipe(server, extensions='builtin = ["bash"]')
    assert main(["fetch", "-q"]) == 0
    newer = {"bash.tcz": make_extension("newer", 64)}
    serve(server, make_repository({"bash.tcz": []}, contents=newer))
    capsys.readouterr()
    assert main(["lock", "-q", "-r"]) == 0
    digest = hashlib.sha256(newer["bash.tcz"]).hexdigest()
    assert load_lock().extensions["bash.tcz"].file.sha256 == digest
    assert notes(capsys.readouterr().err)[0] == (
        "--reuse-prev-dl is ignored: 'lock' asks the mirrors what they have now"
    )
