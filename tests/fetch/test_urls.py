from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from purekernel.errors import InputError
from purekernel.fetch.model import Download
from purekernel.fetch.urls import (
    WebUrl,
    _path_of_file_url,
    is_local,
    is_url,
    join_url,
    last_component,
    local_path,
    parse_web_url,
    portable_name,
    redact,
)

SECRET = "hunter2"
posix = pytest.mark.skipif(os.name == "nt", reason="not for Windows")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://host/a", "http://host/a"),
        (f"http://user:{SECRET}@host/a", "http://host/a"),
        (f"https://{SECRET}@host:8443/a?b=c", "https://host:8443/a?b=***"),
        (f"http://user:{SECRET}@[::1]:80/a", "http://[::1]:80/a"),
        (f"http://host/a?token={SECRET}&x&y=", "http://host/a?token=***&***&y=***"),
        (f"http://host/a#{SECRET}", "http://host/a"),
        # A slash in a password looks like the end of the host.
        (f"http://user:{SECRET}/x@host/a", "http://host/a"),
        (f"http://user:x/{SECRET}@host/a?{SECRET}", "http://host/a"),
        (f"http://user:{SECRET}@[::1/a", "http://[::1/a"),
        (f"ftp://user:{SECRET}@host/a", "ftp://host/a"),
        (f"file://user:{SECRET}@host/a", "file://host/a"),
        ("file:///a@b", "file:///a@b"),
        ("/a/b@c", "/a/b@c"),
        ("a\x1b[31mb", "a%1B[31mb"),
        ("http://host/\u202e", "http://host/%E2%80%AE"),
        ("/a/\udcff", "/a/%3F"),
    ],
)
def test_redact(url: str, shown: str) -> None:
    assert redact(url) == shown


texts = st.text(st.characters(), max_size=30)
urls = st.one_of(
    texts,
    st.lists(
        st.sampled_from(
            ["http:", "file:", "//", "/", "@", ":", "[", "]", "?", "#", "&", "=", "%", "..", "a",
             "\0", "\ud800", "\udcff", "host", "80", "\u0663", "\uff0f", "C:", "|", "\\"]
        ),
        max_size=12,
    ).map("".join),
)  # fmt: skip


@pytest.mark.slow
@given(urls)
@example("http://\u2100/")
@example("http://[v1.x]/")
@example("http://a:\u0663/")
def test_url_functions_accept_any_text(url: str) -> None:
    assert redact(url).isprintable()
    redact(url).encode()
    assert isinstance(last_component(url), str)
    assert is_local(url) or is_url(url)
    for windows in (False, True):
        try:
            path = local_path(url, windows=windows)
        except InputError as error:
            str(error).encode()
        else:
            # Another kind of URL may look like a path on a drive of Windows.
            assert path.is_absolute() or not is_local(url)
            os.fsencode(path)
    try:
        address = parse_web_url(url)
    except ValueError:
        return
    assert "@" not in address.url.split("/")[2]
    assert parse_web_url(address.url) == WebUrl(url=address.url)


hosts = st.sampled_from(["host", "127.0.0.1:80", "[::1]:8080", "mirror.example"])


@given(st.text(max_size=20), st.text(max_size=20), hosts)
@example("a", "p@ss:w/rd?#%", "host")
def test_credentials_are_parsed_and_redacted(user: str, password: str, host: str) -> None:
    assume(user or password)
    url = f"http://{quote(user, safe='')}:{quote(password, safe='')}@{host}/a.tcz"
    address = parse_web_url(url)
    assert address == WebUrl(url=f"http://{host}/a.tcz", credentials=(user, password))
    assert redact(url) == f"http://{host}/a.tcz"
    assert repr(address) == f"WebUrl(url='http://{host}/a.tcz')"


def test_redact_hides_query_values() -> None:
    url = f"http://user:{SECRET}@host/a.tcz?token={SECRET}"
    assert repr(parse_web_url(url)) == "WebUrl(url='http://host/a.tcz?token=***')"
    wanted = repr(Download(name="a.tcz", urls=(url, f"ftp://{SECRET}@host/a")))
    assert "urls=('http://host/a.tcz?token=***', 'ftp://host/a')" in wanted
    assert SECRET not in wanted


@pytest.mark.parametrize("url", ["http://", "http:///a", "http://host:port/", "http://[::1/", "a"])
def test_parse_web_url_refuses_invalid_url(url: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # the message is never shown
        parse_web_url(url)


@pytest.mark.parametrize(
    ("text", "url", "local"),
    [
        ("http://x/", True, False), ("HTTP://x/", True, False), ("ftp://x/", True, False),
        ("file:///x", True, True), ("FILE:/x", True, True), ("/x", False, True),
        ("x", False, True), ("", False, True), ("C:\\x", False, True), ("c://x", False, True),
        ("http:/x", False, True), ("//x/y", False, True),
    ],
)  # fmt: skip
def test_is_url_and_is_local(text: str, url: bool, local: bool) -> None:
    assert (is_url(text), is_local(text)) == (url, local)


@posix
@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("file:///a/b", "/a/b"),
        ("file:/a/b", "/a/b"),
        ("FILE://localhost/a/b", "/a/b"),
        ("file:///a%20b%3F?x#y", "/a b?"),
        ("file:///%FF", "/\udcff"),
        ("file:///\udcff", "/\udcff"),
        ("/a%20b?x#y", "/a%20b?x#y"),
    ],
)
def test_local_path_of_file_url(url: str, path: str) -> None:
    assert local_path(url) == Path(path)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("file:///C:/a%20b", "C:/a b"),
        ("file:///c|/a", "c:/a"),
        ("file://C:/a", "C:/a"),
        ("file:C:/a", "C:/a"),
        ("file://host/share/a", "//host/share/a"),
    ],
)
def test_local_path_of_file_url_on_windows(url: str, path: str) -> None:
    """RFC 8089, appendix E."""
    assert _path_of_file_url(url, windows=True) == path


@posix
def test_local_path_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert local_path("a/b") == tmp_path / "a" / "b"


@pytest.mark.parametrize(
    ("base", "names", "joined"),
    [
        ("http://x", ["a", "b.tcz"], "http://x/a/b.tcz"),
        ("http://x/", ["/a/".strip("/")], "http://x/a"),
        ("http://x/y?token=1#z", ["a b#?.tcz"], "http://x/y/a%20b%23%3F.tcz?token=1#z"),
        ("http://x", ["foo-1.0~rc1+b:2.tcz"], "http://x/foo-1.0~rc1+b:2.tcz"),
        ("file:///m", ["a%b"], "file:///m/a%25b"),
        ("/m/", ["a%b", "c d"], "/m/a%b/c d"),
    ],
)
@posix
def test_join_url(base: str, names: list[str], joined: str) -> None:
    assert join_url(base, *names) == joined


@pytest.mark.parametrize("name", ["..", "../a", "a/../b", "a\\..\\b", "/a", "\\a", ".", "./a"])
@pytest.mark.parametrize("base", ["http://user:hunter2@x/m", "/m"])
def test_join_url_refuses_names_outside_base(name: str, base: str) -> None:
    with pytest.raises(InputError) as caught:
        join_url(base, name)
    shown = base.replace(f"user:{SECRET}@", "")
    assert str(caught.value) == f"{name!a} is not a valid file name below {shown}"


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://x/a/b.tcz", "b.tcz"),
        ("http://x/a/b.tcz?c/d#e/f", "b.tcz"),
        ("http://x/a%20b/", "a b"),
        ("file:///a/b%2Bc", "b+c"),
        ("/a/b%2Bc", "b%2Bc"),
    ],
)
def test_last_component(url: str, name: str) -> None:
    assert last_component(url) == name


@pytest.mark.parametrize(
    "name", ["pool/C:x", "C:/x", "a:stream", "nul.tcz", "pool/con", "a.", "a?b"]
)
@pytest.mark.parametrize("base", ["/m", "C:/m", "file:///m"])
def test_join_url_refuses_invalid_windows_names(name: str, base: str) -> None:
    with pytest.raises(InputError, match="is not a valid file name below"):
        join_url(base, name, windows=True)
    assert join_url("http://x/m", "pool/C:x", windows=True) == "http://x/m/pool/C:x"
    assert join_url(base, "pool/", "a.tcz", windows=True).endswith("a.tcz")


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("site/", "site/"),
        ("../site.tar", "../site.tar"),
        ("other.iso:boot/core.gz", "other.iso:boot/core.gz"),
        ("/home/me/site.tar", "site.tar"),
        ("/home/me/site/", "site"),
        ("~/site", "site"),
        (r"C:\Users\me\site.tar", "site.tar"),
        (r"\\server\share\site", "site"),
        ("C:site", "C:site"),
        ("/", "/"),
        ("file:///home/me/site.tar", "site.tar"),
        ("file:/home/me/a%20b.tar?x", "a b.tar"),
        ("https://me:secret@x.example/a.tar?token=secret#x", "https://x.example/a.tar?token=***"),
        ("a\x1b[31m", "a%1B[31m"),
    ],
)
def test_name_for_other_people_has_no_path_of_the_host_and_no_secret(place: str, name: str) -> None:
    assert portable_name(place) == name
