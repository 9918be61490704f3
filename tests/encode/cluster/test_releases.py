from __future__ import annotations

import pickle

import deflate
import zopfli

from purekernel import __version__
from purekernel.encode.cluster.releases import Answer, Call, differences, releases

HERE = {"purekernel": "1.0", "deflate": "0.9.0", "zopfli": "0.2.3"}


def test_releases_are_those_that_the_encoders_name() -> None:
    assert releases() == {
        "purekernel": __version__,
        "deflate": deflate.__version__,
        "zopfli": zopfli.__version__,
    }


def test_call_with_equal_releases_runs() -> None:
    call = Call(releases=releases(), function=divmod, arguments=(7, 2), keywords={})
    assert pickle.loads(pickle.dumps(call))() == Answer(releases=releases(), value=(3, 1))


def test_call_with_other_releases_does_not_run() -> None:
    call = Call(releases=HERE, function=divmod, arguments=(7, 0), keywords={})
    assert call() == Answer(releases=releases(), value=None)


def test_machines_with_equal_differences_are_grouped() -> None:
    there = {
        "a": HERE,
        "b": {**HERE, "zopfli": "0.4.3"},
        "c": "purekernel is missing",
        "d": {**HERE, "zopfli": "0.4.3"},
        "e": {"purekernel": "0.9", "deflate": "0.9.0"},
    }
    assert differences(HERE, there) == (
        "b, d (zopfli must be 0.2.3, got 0.4.3); c (purekernel is missing); "
        "e (purekernel must be 1.0, got 0.9, zopfli must be 0.2.3, got none)"
    )
    assert differences(HERE, {"a": HERE}) == ""
