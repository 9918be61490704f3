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


def test_a_call_is_made_where_the_releases_are_the_same() -> None:
    call = Call(releases=releases(), function=divmod, arguments=(7, 2), keywords={})
    assert pickle.loads(pickle.dumps(call))() == Answer(releases=releases(), value=(3, 1))


def test_a_call_is_not_made_where_they_are_not() -> None:
    call = Call(releases=HERE, function=divmod, arguments=(7, 0), keywords={})
    assert call() == Answer(releases=releases(), value=None)


def test_who_differs_is_said_together() -> None:
    there = {
        "a": HERE,
        "b": {**HERE, "zopfli": "0.4.3"},
        "c": "no purekernel",
        "d": {**HERE, "zopfli": "0.4.3"},
        "e": {"purekernel": "0.9", "deflate": "0.9.0"},
    }
    assert differences(HERE, there) == (
        "b, d (zopfli 0.4.3 for 0.2.3); c (no purekernel); "
        "e (purekernel 0.9 for 1.0, zopfli ? for 0.2.3)"
    )
    assert differences(HERE, {"a": HERE}) == ""
