"""Test clusters that lose workers or the scheduler, and unsuitable clusters."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from threading import Thread

import pytest
import trustme
import zopfli
from distributed import Security

from purekernel import Context, open_executor
from purekernel.cli import main
from purekernel.errors import ClusterError, UsageError
from tests.clusters import (
    KILLING,
    OTHER_ZOPFLI,
    WITHOUT_PUREKERNEL,
    Cluster,
    running,
    write_overlay,
)
from tests.processes import DEFAULT_SIGNALS, environment, purekernel
from tests.workshop import two_lines

pytestmark = pytest.mark.cluster

ISO = "rz_mk_dev-image.1.iso"
UNLIKE = "{0}: all machines must have the releases of this one: "
SAME = "install the same releases on all machines, including the scheduler's, and restart them"
START = "correct the address, or start a scheduler there: dask scheduler"
AGAIN = "check the cluster's logs, restart what is missing, and build again"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Run a scheduler and two workers for the whole module."""
    with running(tmp_path_factory.mktemp("cluster")) as found:
        yield found


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[Cluster]:
    """Run a scheduler and two workers for one test."""
    folder = tmp_path / "mortal"
    folder.mkdir()
    with running(folder) as found:
        yield found


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current folder, with an overlay, the output of an earlier build and no cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PUREKERNEL_CACHE", str(tmp_path / "cache"))
    write_overlay(tmp_path)
    (tmp_path / ISO).write_bytes(b"of an earlier build")
    return tmp_path


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("purekernel.encode.cluster.dask.CONNECT_SECONDS", 3.0)


def command(address: str, *more: str) -> list[str]:
    build = ["build", "--sample", "--iso-version", "1", "--overlay", "site", "--timestamp", "0"]
    return [*build, "--effort", "balanced", "--executor", address, *more]


def untouched(folder: Path) -> None:
    assert (folder / ISO).read_bytes() == b"of an earlier build"
    assert not list(folder.rglob(".*.part"))


def kill(*processes: subprocess.Popen[bytes]) -> None:
    for process in processes:
        process.kill()
        process.wait()


def killing(
    folder: Path,
    cluster: Cluster,
    *processes: subprocess.Popen[bytes],
    patience_seconds: int = 60,
) -> tuple[int, str]:
    """Build, and kill processes when half of the calls are done; return exit status and stderr."""
    victims = ",".join(str(process.pid) for process in processes)
    build = (victims, str(patience_seconds), *command(cluster.address, "-q"))
    done = purekernel(*build, cwd=folder, script=KILLING)
    assert int(done.stdout.removeprefix("left ")) > 0, (done.stdout, done.stderr)
    return done.returncode, done.stderr


def test_killed_worker_does_not_change_the_image(folder: Path, mortal: Cluster) -> None:
    plain = command("")[:-2]
    assert main([*plain, "-q", "-o", "threads", "--cache-dir", "other"]) == 0
    assert killing(folder, mortal, mortal.workers[0]) == (0, "")
    mortal.await_workers(1)
    assert (folder / ISO).read_bytes() == (folder / "threads" / ISO).read_bytes()


def test_build_fails_when_all_workers_die(folder: Path, mortal: Cluster) -> None:
    status, err = killing(folder, mortal, *mortal.workers, patience_seconds=1)
    assert status == 1
    assert two_lines(err) == [(f"{mortal.address}: no worker is left", AGAIN)]
    untouched(folder)


@pytest.mark.nightly
def test_build_fails_when_the_scheduler_dies(folder: Path, mortal: Cluster) -> None:
    status, err = killing(folder, mortal, mortal.scheduler)
    assert status == 1
    gone = f"{mortal.address}: the scheduler is gone or was restarted"
    assert two_lines(err) == [(gone, AGAIN)]
    untouched(folder)


def test_call_that_kills_workers_fails(tmp_path: Path) -> None:
    setting = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"}
    with (
        running(tmp_path, workers=1, **setting) as strict,
        open_executor(strict.address) as executor,
    ):
        future = executor.submit(time.sleep, 600)
        strict.await_busy()
        kill(*strict.workers)
        start = f"{strict.address}: several workers died while running the same call"
        with pytest.raises(ClusterError, match=start):
            future.result()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows stops no processes")
def test_interrupted_build_leaves_no_calls_on_the_cluster(folder: Path, cluster: Cluster) -> None:
    script = (
        f"{DEFAULT_SIGNALS}"
        "import sys\n"
        "from purekernel.cli import main, terminal\n"
        "def started(self, words):\n"
        "    if words == 'recompressing':\n"
        "        print('now', flush=True)\n"
        "        sys.stdin.readline()\n"
        "    if words == 'compressing':\n"
        "        print('too late', flush=True)\n"
        "terminal.StepTimer.started = started\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    try:
        process = subprocess.Popen(
            [sys.executable, "-c", script, *command(cluster.address)],
            cwd=folder, env=environment(), text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "now\n"
        for worker in cluster.workers:
            worker.send_signal(signal.SIGSTOP)
        process.stdin.write("go on\n")
        process.stdin.flush()
        cluster.await_busy()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        for worker in cluster.workers:
            worker.send_signal(signal.SIGCONT)
    assert (process.returncode, out) == (130, "")
    assert [message for message, _hint in two_lines(err)] == ["interrupted"]
    cluster.await_idle()
    untouched(folder)


def test_errors_of_calls_are_raised_locally(cluster: Cluster) -> None:
    with open_executor(cluster.address) as executor:
        assert executor.submit(divmod, 7, 2).result() == (3, 1)
        assert list(executor.map(pow, [2, 3], [5, 2])) == [32, 9]
        with pytest.raises(ZeroDivisionError):
            executor.submit(divmod, 7, 0).result()
        lacks = f"{cluster.address}: a worker lacks a module: No module named 'no_such_thing'"
        with pytest.raises(ClusterError, match=lacks):
            executor.submit(import_module, "no_such_thing").result()
        with pytest.raises(ClusterError, match=f"{cluster.address}: a worker is out of memory"):
            executor.submit(bytes, 1 << 60).result()
    with pytest.raises(RuntimeError, match="cannot submit calls after shutdown"):
        executor.submit(divmod, 7, 2)


def test_large_arguments_are_sent_without_warnings(
    cluster: Cluster, capfd: pytest.CaptureFixture[str]
) -> None:
    data = bytes(range(256)) * (50 << 12)  # more than 50 MB
    with open_executor(cluster.address) as executor:
        assert executor.submit(bytes.replace, data, b"\0", b"").result() == data.replace(b"\0", b"")
    assert capfd.readouterr().err == ""


def test_workers_with_other_releases_are_named(
    folder: Path, cluster: Cluster, capfd: pytest.CaptureFixture[str]
) -> None:
    with cluster.joined_by(OTHER_ZOPFLI) as other, cluster.joined_by(WITHOUT_PUREKERNEL) as bare:
        assert main(command(cluster.address)) == 1
        release = zopfli.__version__
        expected = sorted(
            [f"{other} (zopfli must be {release}, got 0.0.1)", f"{bare} (purekernel is missing)"]
        )
    ((message, hint),) = two_lines(capfd.readouterr().err)
    start = UNLIKE.format(cluster.address)
    assert message.startswith(start)
    assert sorted(message.removeprefix(start).split("; ")) == expected
    assert hint == SAME
    untouched(folder)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows stops no processes")
@pytest.mark.usefixtures("hurried")
def test_hanging_worker_is_named(
    folder: Path, cluster: Cluster, capfd: pytest.CaptureFixture[str]
) -> None:
    with cluster.joined_by("") as hanging:
        cluster.workers[-1].send_signal(signal.SIGSTOP)
        assert main(command(cluster.address)) == 1
    message = UNLIKE.format(cluster.address) + f"{hanging} (no answer)"
    assert two_lines(capfd.readouterr().err) == [(message, SAME)]
    untouched(folder)


def test_late_worker_with_other_releases_is_refused(cluster: Cluster) -> None:
    with open_executor(cluster.address) as executor:
        assert executor.submit(divmod, 7, 2).result() == (3, 1)
        with cluster.joined_by(OTHER_ZOPFLI) as other:
            answers = executor.map(time.sleep, [0.1] * 12)
            with pytest.raises(ClusterError, match=rf"{other} \(zopfli must be \S+, got 0\.0\.1\)"):
                list(answers)


def test_late_worker_without_purekernel_is_ignored(cluster: Cluster) -> None:
    """The worker fails on its first call, and dask retries the call on other workers."""
    with open_executor(cluster.address) as executor, cluster.joined_by(WITHOUT_PUREKERNEL) as bare:
        assert list(executor.map(time.sleep, [0.1] * 12)) == [None] * 12
        assert bare not in cluster.client.nthreads()


@pytest.mark.nightly
def test_scheduler_without_purekernel_is_named(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "bare"
    place.mkdir()
    (place / "without.py").write_text(WITHOUT_PUREKERNEL)
    with running(place, workers=1, options=("--preload", place / "without.py")) as bare:
        assert main(command(bare.address)) == 1
        message = UNLIKE.format(bare.address) + "the scheduler (purekernel is missing)"
        assert two_lines(capfd.readouterr().err) == [(message, SAME)]
    untouched(folder)


@pytest.mark.usefixtures("hurried")
def test_cluster_without_workers_is_refused(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "empty"
    place.mkdir()
    with running(place, workers=0) as empty:
        assert main(command(empty.address)) == 1
        assert two_lines(capfd.readouterr().err) == [
            (
                f"{empty.address}: the cluster has no workers",
                f"start a worker on any machine: dask worker {empty.url}",
            )
        ]
    untouched(folder)


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("server", ["none", "silent"])
def test_missing_or_silent_server_is_reported(
    folder: Path, capfd: pytest.CaptureFixture[str], server: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        if server == "none":
            listener.close()
        assert main(command(f"dask://127.0.0.1:{port}")) == 1
    message = f"dask://127.0.0.1:{port}: no scheduler answers"
    assert two_lines(capfd.readouterr().err) == [(message, START)]
    untouched(folder)


def test_web_server_is_refused(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        Thread(target=answer_otherwise, args=(listener,), daemon=True).start()
        assert main(command(f"dask://127.0.0.1:{port}")) == 1
    message = f"dask://127.0.0.1:{port}: the server must be a compatible dask scheduler, got "
    assert two_lines(capfd.readouterr().err) == [(message + "MemoryError", START)]
    untouched(folder)


def answer_otherwise(listener: socket.socket) -> None:
    """Answer all connections as a web server answers an invalid request."""
    with suppress(OSError):
        while True:
            line, _address = listener.accept()
            with line:
                line.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")


def test_address_of_a_worker_is_refused(
    folder: Path, cluster: Cluster, capfd: pytest.CaptureFixture[str]
) -> None:
    worker = next(iter(cluster.client.nthreads())).removeprefix("tcp://")
    assert main(command(f"dask://{worker}")) == 1
    ((message, _hint),) = two_lines(capfd.readouterr().err)
    # The release of dask decides whether there is an error or no answer.
    starts = (
        f"dask://{worker}: the server must be a compatible dask sch",
        f"dask://{worker}: no scheduler answers",
    )
    assert message.startswith(starts)
    untouched(folder)


@pytest.mark.nightly
def test_tls_cluster_needs_valid_certificates(folder: Path, tmp_path: Path) -> None:
    authority = trustme.CA()
    own, ca = tmp_path / "own.pem", tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(ca)
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(own)
    setting = "DASK_DISTRIBUTED__COMM__TLS__"
    settings = {f"{setting}{role}__CERT": str(own) for role in ("SCHEDULER", "WORKER", "CLIENT")}
    settings[f"{setting}CA_FILE"] = str(ca)
    place = tmp_path / "closed"
    place.mkdir()
    security = Security(tls_ca_file=str(ca), tls_client_cert=str(own), require_encryption=True)
    protocol = ("--protocol", "tls")
    with running(place, workers=1, options=protocol, security=security, **settings) as closed:
        assert closed.address.startswith("dask+tls://127.0.0.1:")
        build = command(closed.address, "-q")
        done = purekernel(*build, cwd=folder, env=environment(**settings))
        assert (done.returncode, done.stderr) == (0, "")
        (folder / ISO).write_bytes(b"of an earlier build")
        cases = {
            f"{closed.address}: needs certificates, but dask's configuration has none": {},
            f"{closed.address}: cannot load dask's certificates: ": {
                **settings,
                f"{setting}CA_FILE": str(tmp_path / "site" / "text00"),
            },
        }
        for start, variables in cases.items():
            done = purekernel(*build, cwd=folder, env=environment(**variables))
            assert done.returncode == 1
            ((message, _hint),) = two_lines(done.stderr)
            assert message.startswith(start)
        untouched(folder)


@pytest.mark.parametrize("missing", ["dask", "distributed"])
def test_missing_dask_is_reported(folder: Path, missing: str) -> None:
    script = (
        "import sys\n"
        f"sys.modules[{missing!r}] = None\n"
        "from purekernel.cli import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    done = purekernel(*command("dask://127.0.0.1:1"), cwd=folder, script=script)
    assert done.returncode == 2
    assert two_lines(done.stderr) == [
        (
            f"dask://127.0.0.1:1: needs dask.distributed: the module {missing} is missing",
            "install it: pip install 'purekernel[dask]'",
        )
    ]
    untouched(folder)


def test_local_build_does_not_import_dask(folder: Path) -> None:
    script = (
        "import sys\n"
        "from purekernel.cli import main\n"
        "status = main(sys.argv[1:])\n"
        "names = {name.partition('.')[0] for name in sys.modules}\n"
        "print(status, sorted(names & {'dask', 'distributed', 'tornado', 'asyncio'}))\n"
    )
    done = purekernel(*command("")[:-2], "-q", cwd=folder, script=script)
    assert (done.stdout, done.stderr) == ("0 []\n", "")


def test_jobs_with_an_executor_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command("dask://127.0.0.1:1", "--jobs", "2")) == 2
    ((message, _hint),) = two_lines(capsys.readouterr().err)
    assert message.startswith("--jobs is for encoders on this machine")
    with (
        ThreadPoolExecutor() as executor,
        pytest.raises(UsageError, match="jobs and executor cannot be used together"),
    ):
        Context(jobs=2, executor=executor)
    untouched(folder)


def test_invalid_address_is_a_usage_error(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command("ssh://127.0.0.1:1")) == 2
    ((message, _hint),) = two_lines(capsys.readouterr().err)
    assert message == "'ssh://127.0.0.1:1': the scheme must be dask or dask+tls, got 'ssh'"
    untouched(folder)
