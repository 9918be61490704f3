"""Parse, join and redact URLs and paths.

A URL may contain a password. It is only used for requests: everything that is printed, stored
or written to a lock file goes through :func:`redact` first.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from pathlib import Path, PureWindowsPath
from urllib.parse import quote, unquote, unquote_to_bytes, urlsplit

from attrs import field

from purekernel.errors import InputError
from purekernel.host.windows_names import check_windows_name
from purekernel.records import frozen

# At least two letters, because "C:" is a drive on Windows.
_WEB = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_FILE = re.compile(r"file:", re.IGNORECASE)
_FILE_USER = re.compile(r"^(file://)[^/]*@", re.IGNORECASE)
_DRIVE = re.compile(r"/?[a-z][:|](?=/|$)", re.IGNORECASE)
_PORT = re.compile(r"[0-9]*")
_BLANK = re.compile(r"\s")

# Replaces the values of a query in redacted URLs.
HIDDEN = "***"

# Not percent-encoded in file names: Debian versions contain all of them.
_PLAIN_IN_NAMES = "/~+:"


def is_url(text: str) -> bool:
    """Return whether ``text`` is a web URL or a ``file`` URL, not a plain path."""
    return bool(_FILE.match(text) or _WEB.match(text))


def last_component(url: str) -> str:
    """Return the file name of a URL or path: the part after the last slash."""
    bare = url if not is_url(url) else re.split("[?#]", url)[0]
    return unquote(re.split(r"[/\\]", bare.rstrip("/"))[-1]) if is_url(url) else Path(bare).name


def is_local(url: str) -> bool:
    """Return whether ``url`` is a path on this host or a ``file`` URL."""
    return bool(_FILE.match(url)) or not _WEB.match(url)


def is_plain_http(url: str) -> bool:
    """Return whether ``url`` is fetched without TLS, so that any host on the way can change it."""
    return url[:7].lower() == "http://"


def http_fallbacks(urls: Iterable[str]) -> list[str]:
    """Return the plain http URLs that follow an https URL, and would stand in for it.

    A host on the way can make https fail, but not go unnoticed. If plain http then stood in for it,
    https would protect nothing.
    """
    fallbacks = []
    is_secure = False
    for url in urls:
        is_secure = is_secure or url[:8].lower() == "https://"
        if is_secure and is_plain_http(url):
            fallbacks.append(url)
    return fallbacks


def local_path(url: str, *, windows: bool = os.name == "nt") -> Path:
    """Return the absolute path of :func:`a local URL <is_local>`.

    Raises:
        InputError: the URL has another host, or the path is invalid on this host.
    """
    try:
        path = Path(_path_of_file_url(url, windows=windows) if _FILE.match(url) else url)
        os.fsencode(path)
    except UnicodeEncodeError:
        raise InputError(f"{redact(url)} is not a valid path on this host") from None
    if "\0" in str(path):
        raise InputError(f"{redact(url)} is not a valid path: it contains a NUL")
    if path.drive and not path.root:  # C:x, which absolute() does not change before Python 3.12
        return Path(os.path.abspath(path))  # noqa: PTH100
    return path.absolute()


def _path_of_file_url(url: str, *, windows: bool) -> str:
    """Return the path of a ``file`` URL (RFC 8089, including appendix E for Windows)."""
    rest = url.split(":", 1)[1].split("#", 1)[0].split("?", 1)[0]
    host = ""
    if rest.startswith("//"):
        host, slash, path = rest[2:].partition("/")
        host = host.rpartition("@")[2]
        rest = slash + path
    if windows and _DRIVE.fullmatch(host):  # file://C:/…, which is common
        host, rest = "", host + rest
    if host.lower() == "localhost":
        host = ""
    if not windows:
        if host:
            raise InputError(
                f"{redact(url)}: the host must be empty, got {unquote(host)!a}",
                hint="write file:///path with three slashes; files of other hosts are not read",
            )
        return os.fsdecode(unquote_to_bytes(os.fsencode(rest)))
    if _DRIVE.match(rest):
        rest = rest.removeprefix("/").replace("|", ":", 1)
    return (f"//{host}" if host else "") + unquote(rest)


def join_url(base: str, *names: str, windows: bool = os.name == "nt") -> str:
    """Join ``names`` to ``base``.

    Args:
        base: the URL or path of a folder, with or without a trailing slash. Its query, such as
            a token, is kept.
        names: names of folders and a file; each may contain slashes.
        windows: whether the host is Windows.

    Raises:
        InputError: a name leads out of ``base``, or is invalid on Windows.
    """
    for name in names:
        if {"..", "."} & set(re.split(r"[/\\]", name)) or name.startswith(("/", "\\")):
            raise InputError(f"{name!a} is not a valid file name below {redact(base)}")
    below = "/".join(name.strip("/") for name in names)
    if windows and is_local(base):
        for part in below.split("/"):
            if part and (reason := check_windows_name(part.encode("utf-8", "surrogatepass"))):
                raise InputError(
                    f"{below!a} is not a valid file name below {redact(base)}: {reason}"
                )
    if is_local(base) and not _FILE.match(base):
        return os.path.join(base, *below.split("/"))  # noqa: PTH118  # keep the path unnormalized
    cut = min(at for at in (base.find("?"), base.find("#"), len(base)) if at >= 0)
    folder, rest = base[:cut].rstrip("/"), base[cut:]
    return f"{folder}/{quote(below, safe=_PLAIN_IN_NAMES)}{rest}"


@frozen(kw_only=True)
class WebUrl:
    """A web URL, with its credentials separated.

    Attributes:
        url: the URL without user, password and fragment. It is requested, and identifies the
            file in the store.
        credentials: user and password, if the URL has them.
    """

    url: str = field(repr=lambda url: repr(redact(url)))
    credentials: tuple[str, str] | None = field(default=None, repr=False)


def parse_web_url(url: str) -> WebUrl:
    """Separate the credentials of a web URL.

    Raises:
        ValueError: the URL is invalid. The message may contain a password; do not show it.
    """
    parts = urlsplit(url)
    user_info, _at, host = parts.netloc.rpartition("@")
    if not parts.hostname or not _PORT.fullmatch(_port(host)):
        raise ValueError("the URL has no host, or its port is not a number")
    if _BLANK.search(host):  # only some releases of urllib3 accept it
        raise ValueError("the host name contains a blank")
    credentials = None
    if user_info:
        user, _colon, password = user_info.partition(":")
        credentials = unquote(user), unquote(password)
    bare = parts._replace(netloc=host, fragment="").geturl()
    return WebUrl(url=bare, credentials=credentials)


def redact(url: str) -> str:
    """Return ``url`` without secrets, for messages and files.

    User, password and fragment are removed. The values of a query are replaced by ``***``,
    because any of them may be a token. Unprintable characters are percent-encoded, so that they
    do not control the terminal.
    """
    if is_local(url):
        return _printable(_FILE_USER.sub(r"\1", url))
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        if not _PORT.fullmatch(_port(host)):
            raise ValueError("no port")  # a password that contains a slash ends up here
    except ValueError:
        scheme, _slashes, rest = url.partition("://")
        rest = re.split("[?#]", rest.rpartition("@")[2])[0]
        return _printable(f"{scheme}://{rest}")
    query = "&".join(map(_hide_value, parts.query.split("&"))) if parts.query else ""
    return _printable(parts._replace(netloc=host, query=query, fragment="").geturl())


def tell_apart(url: str) -> str:
    """Return the redacted ``url`` with a suffix that makes it unique.

    If values of the query are hidden, ``#`` and the first 12 hexadecimal digits of the SHA-256
    of the URL without user and password are appended.
    """
    redacted = redact(url)
    if is_local(url) or HIDDEN not in redacted:
        return redacted
    try:
        bare = parse_web_url(url).url
    except ValueError:
        return redacted
    return f"{redacted}#{hashlib.sha256(bare.encode('utf-8', 'surrogateescape')).hexdigest()[:12]}"


def portable_name(place: str) -> str:
    """Return a URL or path for a file that other people get: without secrets or paths of this host.

    Of a ``file`` URL or an absolute path, of this system or another one, only the last component is
    left. A relative path begins at the folder of a recipe.
    """
    if _FILE.match(place):
        return _printable(last_component(place)) or "file"
    if is_url(place):
        return redact(place)
    if place.startswith(("/", "\\", "~")) or PureWindowsPath(place).drive:
        place = re.split(r"[/\\]", place.rstrip("/\\"))[-1] or "/"
    return _printable(place)


def _port(host: str) -> str:
    """Return the port of ``host:port``; the host may be ``[::1]``."""
    return host.rpartition("]")[2].partition(":")[2]


def _hide_value(part: str) -> str:
    key, equals, _value = part.partition("=")
    return f"{key}={HIDDEN}" if equals else HIDDEN


def _printable(text: str) -> str:
    return "".join(
        character if character.isprintable() else quote(character, errors="replace")
        for character in text
    )
