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
def test_addresses_are_what_dask_takes(text: str, url: str) -> None:
    address = Address.parse(text)
    assert (address.text, address.url) == (text, url)
    assert address.is_tls == url.startswith("tls")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("127.0.0.1:8786", "'127.0.0.1:8786' names no kind of cluster that there is"),
        ("", "'' names no kind of cluster that there is"),
        ("tcp://a:1", "'tcp://a:1' names no kind of cluster that there is"),
        ("dask:8786", "'dask:8786' names no kind of cluster that there is"),
        ("dask://", "'dask://' is not a host and a port"),
        ("dask://:8786", "'dask://:8786' is not a host and a port"),
        ("dask://a:1/", "'dask://a:1/' is not a host and a port"),
        ("dask://a:1?b", "'dask://a:1?b' is not a host and a port"),
        ("dask://a:1#", "'dask://a:1#' is not a host and a port"),
        ("dask://me@a:1", "'dask://me@a:1' is not a host and a port"),
        ("dask://a b:1", "'dask://a b:1' is not a host and a port"),
        ("dask://a:b", "'dask://a:b' is not a host and a port"),
        ("dask://a:-1", "'dask://a:-1' is not a host and a port"),
        ("dask://::1:1", "'dask://::1:1' is not a host and a port"),
        ("dask://[::1", "'dask://[::1' is not a host and a port"),
    ],
)
def test_others_are_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        Address.parse(text)
    assert caught.value.message == message
    assert caught.value.hint.startswith("give dask://HOST:PORT")


@pytest.mark.parametrize("text", ["dask://host", "dask://host:", "dask://host:0"])
def test_a_port_is_proposed(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        Address.parse(text)
    assert caught.value.message == f"{text!r} says no port"
    assert caught.value.hint.endswith(": dask://host:8786")


def test_no_port_is_larger_than_the_last() -> None:
    with pytest.raises(UsageError, match="'dask://host:65536' has a port that there is not"):
        Address.parse("dask://host:65536")
