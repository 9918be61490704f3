"""Where files are said to be: URLs and paths, joined, taken apart, and made fit to be shown.

A password may stand in a URL, before its host. It is used, and nothing else: whatever is
printed, stored or locked goes through :func:`redact` first.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from urllib.parse import quote, unquote, unquote_to_bytes, urlsplit

from attrs import field, frozen

from purekernel.errors import InputError
from purekernel.host.windows_names import check_windows_name

# Two letters at least: Windows' "C:" is a drive.
_WEB = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_FILE = re.compile(r"file:", re.IGNORECASE)
_FILE_USER = re.compile(r"^(file://)[^/]*@", re.IGNORECASE)
_DRIVE = re.compile(r"/?[a-z][:|](?=/|$)", re.IGNORECASE)
_PORT = re.compile(r"\d*")
_BLANK = re.compile(r"\s")

# What stands for the value of a query's key.
HIDDEN = "***"

# Left as they are in the names of files: Debian's versions have all of them.
_PLAIN_IN_NAMES = "/~+:"


def is_url(text: str) -> bool:
    """Say whether ``text`` is a URL, of the web or of a file, and not a path as it is."""
    return bool(_FILE.match(text) or _WEB.match(text))


def last_component(url: str) -> str:
    """Return the name of the file that a URL or path leads to: what follows the last slash."""
    bare = url if not is_url(url) else re.split("[?#]", url)[0]
    return unquote(re.split(r"[/\\]", bare.rstrip("/"))[-1]) if is_url(url) else Path(bare).name


def is_local(url: str) -> bool:
    """Say whether ``url`` is a path on this host, or a ``file`` URL, that is one."""
    return bool(_FILE.match(url)) or not _WEB.match(url)


def local_path(url: str, *, windows: bool = os.name == "nt") -> Path:
    """Return the path that :func:`a local URL <is_local>` names, absolute.

    Raises:
        InputError: it names another host, or no path that a host can have.
    """
    try:
        path = Path(_path_of_file_url(url, windows=windows) if _FILE.match(url) else url)
        os.fsencode(path)
    except UnicodeEncodeError:
        raise InputError(f"{redact(url)} is no name that a file here can have") from None
    if "\0" in str(path):
        raise InputError(f"{redact(url)} holds a NUL, which no path has")
    return path.absolute()


def _path_of_file_url(url: str, *, windows: bool) -> str:
    """Return the path, as RFC 8089 has it, appendix E included for Windows."""
    rest = url.split(":", 1)[1].split("#", 1)[0].split("?", 1)[0]
    host = ""
    if rest.startswith("//"):
        host, slash, path = rest[2:].partition("/")
        host = host.rpartition("@")[2]
        rest = slash + path
    if windows and _DRIVE.fullmatch(host):  # file://C:/…, as many write it
        host, rest = "", host + rest
    if host.lower() == "localhost":
        host = ""
    if not windows:
        if host:
            raise InputError(
                f"{redact(url)} names the host {unquote(host)!a}",
                hint="files of other hosts are not read: write file:///path, with three slashes",
            )
        return os.fsdecode(unquote_to_bytes(os.fsencode(rest)))
    if _DRIVE.match(rest):
        rest = rest.removeprefix("/").replace("|", ":", 1)
    return (f"//{host}" if host else "") + unquote(rest)


def join_url(base: str, *names: str, windows: bool = os.name == "nt") -> str:
    """Return where ``names``, one below the other, are under ``base``.

    Args:
        base: a folder's URL or path, with or without a slash at its end. What stands in its
            query, a token perhaps, stays.
        names: of folders and a file, with slashes inside where they are several.
        windows: whether the host is Windows.

    Raises:
        InputError: a name leads out of the base, or Windows can hold no such file.
    """
    for name in names:
        if {"..", "."} & set(re.split(r"[/\\]", name)) or name.startswith(("/", "\\")):
            raise InputError(f"{name!a} is no name of a file below {redact(base)}")
    below = "/".join(name.strip("/") for name in names)
    if windows and is_local(base):
        for part in below.split("/"):
            if part and (reason := check_windows_name(part.encode("utf-8", "surrogatepass"))):
                raise InputError(f"{below!a} is no name of a file below {redact(base)}: {reason}")
    if is_local(base) and not _FILE.match(base):
        return os.path.join(base, *below.split("/"))  # noqa: PTH118  # a path as it was written
    cut = min(at for at in (base.find("?"), base.find("#"), len(base)) if at >= 0)
    folder, rest = base[:cut].rstrip("/"), base[cut:]
    return f"{folder}/{quote(below, safe=_PLAIN_IN_NAMES)}{rest}"


@frozen(kw_only=True)
class Address:
    """A web URL, and who asks.

    Attributes:
        url: without user, password and fragment: what is asked, and what a file is known by.
        credentials: user and password, where the URL has them.
    """

    url: str = field(repr=lambda url: repr(redact(url)))
    credentials: tuple[str, str] | None = field(default=None, repr=False)


def parse_address(url: str) -> Address:
    """Return a web URL with user and password apart.

    Raises:
        ValueError: it is no URL; its words may hold a password, and are not to be shown.
    """
    parts = urlsplit(url)
    who, _at, host = parts.netloc.rpartition("@")
    if not parts.hostname or not _PORT.fullmatch(_port(host)):
        raise ValueError("no host, or no number for a port")
    if _BLANK.search(host):  # urllib3 takes it or not, by its release
        raise ValueError("a blank in the name of the host")
    credentials = None
    if who:
        user, _colon, password = who.partition(":")
        credentials = unquote(user), unquote(password)
    bare = parts._replace(netloc=host, fragment="").geturl()
    return Address(url=bare, credentials=credentials)


def redact(url: str) -> str:
    """Return ``url`` as anybody may see it.

    User and password are gone, and the fragment. Of a query the keys stay and the values
    become ``***``: tokens stand there, and nobody can tell them from other values. Characters
    that a terminal would act on are escaped.
    """
    if is_local(url):
        return _printable(_FILE_USER.sub(r"\1", url))
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        if not _PORT.fullmatch(_port(host)):
            raise ValueError("no port")  # a password with a slash in it reads like this
    except ValueError:
        scheme, _slashes, rest = url.partition("://")
        rest = re.split("[?#]", rest.rpartition("@")[2])[0]
        return _printable(f"{scheme}://{rest}")
    query = "&".join(map(_hide_value, parts.query.split("&"))) if parts.query else ""
    return _printable(parts._replace(netloc=host, query=query, fragment="").geturl())


def tell_apart(url: str) -> str:
    """Return :func:`redact`'s words for ``url``, which no other address has.

    Where values of a query are hidden, 12 digits of a SHA-256 of the address without user and
    password follow after a ``#``.
    """
    shown = redact(url)
    if is_local(url) or HIDDEN not in shown:
        return shown
    try:
        bare = parse_address(url).url
    except ValueError:
        return shown
    return f"{shown}#{hashlib.sha256(bare.encode('utf-8', 'surrogateescape')).hexdigest()[:12]}"


def _port(host: str) -> str:
    """Return what stands for the port in ``host:port``; the host may be ``[::1]``."""
    return host.rpartition("]")[2].partition(":")[2]


def _hide_value(part: str) -> str:
    key, equals, _value = part.partition("=")
    return f"{key}={HIDDEN}" if equals else HIDDEN


def _printable(text: str) -> str:
    return "".join(
        character if character.isprintable() else quote(character, errors="replace")
        for character in text
    )
