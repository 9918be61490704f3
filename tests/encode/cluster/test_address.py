from __future__ import annotations

import pytest

from purekernel.encode.cluster import Address
from purekernel.errors import UsageError


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("dask://127.0.0.1:8786", "tcp://127.0.0.1:8786"),
        ("dask://scheduler.example:1", "tcp://scheduler.example:1"),
        ("dask://[::1]:65535", "tcp://[::1]:65535"),
        ("dask+tls://10.0.0.1:8786", "tls://10.0.0.1:8786"),
    ],
)
def test_valid_address_becomes_dask_url(text: str, url: str) -> None:
    address = Address.parse(text)
    assert (address.text, address.url) == (text, url)
    assert address.is_tls == url.startswith("tls")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "127.0.0.1:8786",
            "'127.0.0.1:8786': the scheme must be dask or dask+tls, got '127.0.0.1:8786'",
        ),
        ("", "'': the scheme must be dask or dask+tls, got ''"),
        ("tcp://a:1", "'tcp://a:1': the scheme must be dask or dask+tls, got 'tcp'"),
        ("dask:8786", "'dask:8786': the scheme must be dask or dask+tls, got 'dask:8786'"),
        ("dask://", "'dask://': the scheme must be followed by HOST:PORT, got ''"),
        ("dask://:8786", "'dask://:8786': the scheme must be followed by HOST:PORT, got ':8786'"),
        ("dask://a:1/", "'dask://a:1/': the scheme must be followed by HOST:PORT, got 'a:1/'"),
        ("dask://a:1?b", "'dask://a:1?b': the scheme must be followed by HOST:PORT, got 'a:1?b'"),
        ("dask://a:1#", "'dask://a:1#': the scheme must be followed by HOST:PORT, got 'a:1#'"),
        (
            "dask://me@a:1",
            "'dask://me@a:1': the scheme must be followed by HOST:PORT, got 'me@a:1'",
        ),
        ("dask://a b:1", "'dask://a b:1': the scheme must be followed by HOST:PORT, got 'a b:1'"),
        ("dask://a:b", "'dask://a:b': the scheme must be followed by HOST:PORT, got 'a:b'"),
        ("dask://a:-1", "'dask://a:-1': the scheme must be followed by HOST:PORT, got 'a:-1'"),
        ("dask://::1:1", "'dask://::1:1': the scheme must be followed by HOST:PORT, got '::1:1'"),
        ("dask://[::1", "'dask://[::1': the scheme must be followed by HOST:PORT, got '[::1'"),
    ],
)
def test_invalid_address_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        Address.parse(text)
    assert caught.value.message == message
    assert caught.value.hint.startswith("give the address of a dask scheduler: dask://HOST:PORT")


@pytest.mark.parametrize("text", ["dask://host", "dask://host:", "dask://host:0"])
def test_missing_port_hint_gives_default_port(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        Address.parse(text)
    assert caught.value.message == f"{text!r}: the port is missing"
    assert caught.value.hint.endswith(": dask://host:8786")


def test_port_above_65535_is_refused() -> None:
    with pytest.raises(
        UsageError, match="'dask://host:65536': the port must be from 1 to 65535, got 65536"
    ):
        Address.parse("dask://host:65536")


def test_port_of_thousands_of_digits_is_refused() -> None:
    with pytest.raises(UsageError, match=f"must be from 1 to 65535, got {'9' * 40}$"):
        Address.parse("dask://host:" + "9" * 5000)
    assert Address.parse("dask://host:" + "0" * 5000 + "8786").url == "tcp://host:8786"
