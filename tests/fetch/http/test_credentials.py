"""Test credentials: they are sent only to their own host, and are not stored or printed."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

import pytest

from purekernel.errors import DownloadError
from purekernel.fetch.downloads import Downloads
from purekernel.fetch.http.credentials import Netrc
from purekernel.fetch.store import Store
from tests.fetch.answers import cut, redirect, status
from tests.fetch.fetching import QUICK, extension, fetch, files, want, why_not
from tests.fetch.server import Answer, Exchange, Server

CONTENT = extension(100_000)
SECRET = "hunter2"


def basic(user: str, password: str) -> str:
    return f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"


RIGHT = basic("user", SECRET)


def guarded(exchange: Exchange) -> None:
    """Serve the file if the request has the right password."""
    if exchange.headers.get("Authorization") == RIGHT:
        exchange.give()
    else:
        exchange.say(401, b"who?\n", {"WWW-Authenticate": "Basic realm=x"})


def with_user(url: str, who: str = f"user:{SECRET}") -> str:
    return url.replace("//", f"//{who}@")


def told(server: Server) -> list[str | None]:
    """Return the Authorization header of each request, or ``None`` where it is missing."""
    return [asked.headers.get("authorization") for asked in server.asked]


def assert_not_told(store: Store, *said: str) -> None:
    """Check that the secret is in none of the texts, nor in any file or file name of the store."""
    paths = [path for path in store.folder.rglob("*") if path.is_file()]
    contents = [path.read_bytes() for path in paths]
    assert SECRET not in " ".join([*said, *map(str, paths)])
    for content in contents:
        assert SECRET.encode() not in content
        assert RIGHT.partition(" ")[2].encode() not in content


def test_password_in_url_is_sent_and_not_stored(server: Server, store: Store) -> None:
    plain = server.put("/a.tcz", CONTENT)
    # The store has files at every stage: locks, a partial download, a cache entry.
    server.script("/a.tcz", cut(5000), guarded)
    with Downloads(store, policy=QUICK) as downloads:
        fetched = downloads.fetch(want(with_user(plain)))
        assert fetched is not None
        assert downloads.load(fetched) == CONTENT
        assert fetched.url == plain
    assert told(server) == [RIGHT, RIGHT]
    assert_not_told(store, repr(fetched), repr(downloads), repr(store.record(plain)))
    assert files(store) == ["blobs", "urls"]


def test_cache_entry_does_not_depend_on_credentials(server: Server, store: Store) -> None:
    plain = server.put("/a.tcz", CONTENT)
    assert fetch(store, with_user(plain)) == CONTENT
    assert fetch(store, plain) == CONTENT
    assert fetch(store, plain, offline=True) == CONTENT
    assert server.statuses() == [200, 200]


@pytest.mark.parametrize(
    "answer", [status(401), status(403), status(404), status(500), cut(500), redirect("//[")]
)
def test_errors_do_not_contain_password(answer: Answer, server: Server, store: Store) -> None:
    server.put("/a.tcz", CONTENT)
    server.script("/a.tcz", *[answer] * 9)
    url = with_user(f"{server.url}/a.tcz?token={SECRET}")
    server.script(f"/a.tcz?token={SECRET}", *[answer] * 9)
    with Downloads(store, sleep=lambda _seconds: None) as downloads:
        with pytest.raises(DownloadError) as caught:
            downloads.fetch(want(url))
        assert_not_told(store, str(caught.value), repr(caught.value), caught.value.hint)
    assert f"{server.url}/a.tcz?token=***" in str(caught.value)
    assert why_not(store, url, offline=True)[1].count(SECRET) == 0


@pytest.mark.parametrize(
    ("who", "sent"),
    [
        ("user:p%40ss%2Fw%3Ard", basic("user", "p@ss/w:rd")),
        ("user", basic("user", "")),
        ("user:", basic("user", "")),
        ("j%C3%BCrgen:gr%C3%BC%C3%9Fe", basic("j\u00fcrgen", "gr\u00fc\u00dfe")),
        ("", None),
    ],
)
def test_credentials_may_contain_any_character(
    who: str, sent: str | None, server: Server, store: Store
) -> None:
    assert fetch(store, with_user(server.put("/a", CONTENT), who)) == CONTENT
    assert told(server) == [sent]


def test_credentials_are_not_sent_to_redirected_host(
    server: Server, second: Server, store: Store
) -> None:
    target = second.put("/a", CONTENT)
    url = server.script("/a", redirect(target))
    assert fetch(store, with_user(url)) == CONTENT
    assert (told(server), told(second)) == ([RIGHT], [None])


def test_credentials_are_not_sent_after_redirect_back(
    server: Server, second: Server, store: Store
) -> None:
    url = server.script("/a", redirect(second.script("/b", redirect(server.put("/c", CONTENT)))))
    assert fetch(store, with_user(url)) == CONTENT
    assert (told(server), told(second)) == ([RIGHT, None], [None])


def test_credentials_are_sent_after_redirect_to_same_host(server: Server, store: Store) -> None:
    server.put("/b", CONTENT)
    assert fetch(store, with_user(server.script("/a", redirect("/b")))) == CONTENT
    assert told(server) == [RIGHT, RIGHT]


def test_credentials_in_redirect_url_are_used(server: Server, second: Server, store: Store) -> None:
    target = with_user(second.put("/a", CONTENT), "other:word")
    assert fetch(store, with_user(server.script("/a", redirect(target)))) == CONTENT
    assert told(second) == [basic("other", "word")]


@pytest.fixture
def netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plain_surroundings: None) -> Path:
    path = tmp_path / "netrc"
    path.write_text(f"machine 127.0.0.1 login user password {SECRET}\n")
    path.chmod(0o600)
    monkeypatch.setenv("NETRC", str(path))
    return path


def test_netrc_credentials_are_used(server: Server, netrc: Path, store: Store) -> None:
    url = server.put("/a", CONTENT)
    server.script("/a", guarded)
    assert fetch(store, url) == CONTENT
    assert told(server) == [RIGHT]
    assert_not_told(store)


def test_url_credentials_override_netrc(server: Server, netrc: Path, store: Store) -> None:
    assert fetch(store, with_user(server.put("/a", CONTENT), "other:word")) == CONTENT
    assert told(server) == [basic("other", "word")]


def test_netrc_credentials_of_other_host_are_not_sent(
    server: Server, netrc: Path, store: Store
) -> None:
    netrc.write_text(f"machine mirror.example login user password {SECRET}\n")
    assert fetch(store, server.put("/a", CONTENT)) == CONTENT
    assert told(server) == [None]


@pytest.mark.parametrize("text", ["machine", "machine 127.0.0.1 login\n", "\0", "nonsense\n"])
def test_unreadable_netrc_is_ignored(text: str, server: Server, netrc: Path, store: Store) -> None:
    netrc.write_text(text)
    assert fetch(store, server.put("/a", CONTENT)) == CONTENT
    assert told(server) == [None]


@pytest.mark.parametrize("entry", ["machine 127.0.0.1", "default"])
def test_netrc_credentials_are_not_sent_to_other_port_after_redirect(
    entry: str, server: Server, second: Server, netrc: Path, store: Store
) -> None:
    """Another program on the same host, or any host at all, could read the password."""
    netrc.write_text(f"{entry} login user password {SECRET}\n")
    url = server.script("/a", redirect(second.put("/a", CONTENT)))
    assert fetch(store, url) == CONTENT
    assert (told(server), told(second)) == ([RIGHT], [None])


def test_netrc_credentials_are_sent_after_redirect_to_same_origin(
    server: Server, netrc: Path, store: Store
) -> None:
    server.put("/b", CONTENT)
    assert fetch(store, server.script("/a", redirect("/b"))) == CONTENT
    assert told(server) == [RIGHT, RIGHT]


def test_netrc_entry_with_port_belongs_to_that_port(
    server: Server, second: Server, netrc: Path, store: Store
) -> None:
    netrc.write_text(f"machine 127.0.0.1:{server.port} login user password {SECRET}\n")
    assert fetch(store, server.put("/a", CONTENT)) == CONTENT
    assert fetch(store, second.put("/a", CONTENT)) == CONTENT
    assert (told(server), told(second)) == ([RIGHT], [None])


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://mirror.example/a", ("user", "word")),
        ("https://MIRROR.example:443/a", ("user", "word")),
        ("https://mirror.example:8443/a", ("other", "")),
        ("https://mirror.example:9/a", None),
        ("https://mirror.example:99999/a", None),
        ("http://mirror.example/a", None),
        ("http://mirror.example:8443/a", None),
        ("https://elsewhere.example/a", None),
    ],
)
def test_netrc_entry_after_redirect_needs_https_and_its_port(
    url: str, expected: tuple[str, str] | None
) -> None:
    entries = {
        "mirror.example": ("user", "", "word"),
        "mirror.example:8443": ("", "other", ""),
        "default": ("anyone", "", "secret"),
    }
    assert Netrc(entries).for_redirect(url) == expected


@pytest.mark.parametrize("port", ["", ":80", ":8080", ":99999"])
def test_netrc_entry_belongs_to_each_port_that_the_user_gives(port: str) -> None:
    netrc = Netrc({"mirror.example": ("user", "", "word")})
    assert netrc.for_given(f"http://mirror.example{port}/a") == ("user", "word")
