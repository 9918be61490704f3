"""Test that fetching starts no process, needs no privileges, and is reproducible."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from pathlib import Path

import pytest

from fixtures.repository import TCZ
from tests.fetch.conftest import plain_surroundings, server
from tests.fetch.server import Server
from tests.processes import UNPRIVILEGED, environment, purekernel
from tests.remaster.test_confinement import WATCHED
from tests.workshop import Workshop

pytestmark = pytest.mark.slow

__all__ = ["plain_surroundings", "server"]

RECIPE = """\
name = "gathered"
flavour = "dev"

[core]
iso = "mirror/4.x/x86/release/Core-current.iso"

[mirrors]
tinycore = ["{mirror}"]
gems = ["gems"]

[extensions]
builtin = ["bash.tcz", "openssh.tcz"]
mirror = ["nano.tcz"]

[gems]
wanted = ["sample_tool >= 1.2"]

[[overlay]]
path = "site"

[accounts.tc]
password = "opensesame"
"""

NAME = "gathered.iso"


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    made = Workshop(tmp_path / "workshop", monkeypatch)
    (made.top / "site" / "etc").mkdir(parents=True)
    (made.top / "site" / "etc" / "motd").write_text("hello\n")
    (made.top / "purekernel.toml").write_text(RECIPE.format(mirror="mirror"))
    return made


def serve(workshop: Workshop, server: Server) -> None:
    for path in workshop.mirror.rglob("*"):
        if path.is_file():
            server.put("/" + path.relative_to(workshop.mirror).as_posix(), path.read_bytes())
    (workshop.top / "purekernel.toml").write_text(RECIPE.format(mirror=server.url))


def test_local_mirrors_and_store_open_no_socket(workshop: Workshop) -> None:
    for options in ((), ("--offline",)):
        done = purekernel("build", *options, cwd=workshop.top, script=WATCHED)
        assert "STATUS 0" in done.stdout, done.stderr
        assert "FORBIDDEN" not in done.stdout, done.stdout
        assert (workshop.top / NAME).stat().st_size > 50_000


def test_fetch_starts_no_process_and_offline_makes_no_connection(
    workshop: Workshop, server: Server
) -> None:
    serve(workshop, server)
    done = purekernel("build", cwd=workshop.top, script=WATCHED)
    assert "STATUS 0" in done.stdout, done.stderr
    seen = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("FORBIDDEN")]
    assert seen
    assert all(event.startswith(("socket.", "http.client.connect")) for event in seen), seen
    first = (workshop.top / NAME).read_bytes()
    asked = len(server.asked)
    done = purekernel("build", "--offline", cwd=workshop.top, script=WATCHED)
    assert "STATUS 0" in done.stdout, done.stderr
    assert "FORBIDDEN" not in done.stdout, done.stdout
    assert len(server.asked) == asked
    assert (workshop.top / NAME).read_bytes() == first


@pytest.mark.nightly
def test_user_clock_and_order_of_responses_do_not_change_the_result(
    workshop: Workshop, server: Server, tmp_path: Path
) -> None:
    serve(workshop, server)
    made = []
    for number in range(3):
        # Each run has another date, hash seed and user, and random delays for each file.
        script = (
            "import random, sys, time\n"
            f"ahead = {number} * 31_536_000\n"
            "now = time.time\n"
            "time.time = lambda: now() + ahead\n"
            "from purekernel.fetch.finder import Finder\n"
            "find = Finder.find\n"
            "def slowly(self, download):\n"
            "    time.sleep(random.random() / 50)\n"
            "    return find(self, download)\n"
            "Finder.find = slowly\n"
            "from purekernel.cli import main\n"
            "sys.exit(main(sys.argv[1:]))\n"
        )
        changes = {"PYTHONHASHSEED": str(number), "TZ": ("UTC", "Asia/Kolkata", "EST")[number]}
        out, cache = tmp_path / f"out-{number}", tmp_path / f"cache-{number}"
        env = environment(**changes, USER=f"user{number}")
        for command in (
            ("build", "-o", out),
            ("bundle", "--project", "project", "-c", "bundle.cfg", "--iso-version", "1", "-o", out),
            ("lock", "--lock-file", out / "purekernel.lock"),
        ):
            done = purekernel(
                *command, "--cache-dir", cache, cwd=workshop.top, script=script, env=env
            )
            assert done.returncode == 0, done.stderr
        made.append({path.name: path.read_bytes() for path in sorted(out.iterdir())})
    assert made[0] == made[1] == made[2]
    assert set(made[0]) == {
        NAME, "SHA256SUMS", "purekernel.lock", "razor-microkernel-bundle-dev.tar.gz",
    }  # fmt: skip
    for content in made[0].values():
        assert os.fsencode(tmp_path) not in content


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no uids")
def test_unprivileged_user_with_empty_path_fetches_the_same(
    workshop: Workshop, open_folder: Path
) -> None:
    place = open_folder / "place"
    for name in ("mirror", "gems", "site", "purekernel.toml"):
        source = workshop.top / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        place.mkdir(exist_ok=True)
        copy(source, place / name)
    place.chmod(stat.S_IRWXU | stat.S_IRWXG | stat.S_IRWXO)
    mine = purekernel("build", cwd=workshop.top)
    assert mine.returncode == 0, mine.stderr
    env = environment(PUREKERNEL_CACHE=str(place / "cache"))
    # The user may not be able to read modules that are imported on use.
    warm = UNPRIVILEGED.replace(
        '["build", "/no/such", "--quiet", "--output-dir", scratch]) == 1',
        '["build", "--cache-dir", scratch, "--quiet", "--output-dir", scratch]) == 0',
    )
    assert warm != UNPRIVILEGED
    done = purekernel("build", cwd=place, script=warm, env=env)
    assert done.returncode == 0, done.stderr
    assert (place / NAME).stat().st_uid != 0
    assert (place / NAME).read_bytes() == (workshop.top / NAME).read_bytes()


def test_lock_pins_the_files_of_a_server(workshop: Workshop, server: Server) -> None:
    serve(workshop, server)
    done = purekernel("lock", cwd=workshop.top)
    assert done.returncode == 0, done.stderr
    assert f"{server.url}/{TCZ}/bash.tcz" in (workshop.top / "purekernel.lock").read_text()
