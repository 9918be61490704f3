"""Compare with the real ldconfig on whole Debian roots of all architectures."""

from __future__ import annotations

from pathlib import Path

import pytest

from purekernel.formats.ld_cache import CacheFormat, parse_ld_cache
from purekernel.input import Input
from purekernel.rootfs.ldconfig import ARCHITECTURES, Configured, ldconfig
from purekernel.tree import Tree
from tests import debian
from tests.ldconfigs import cache_bytes, command_for, lay_down, links, load, run_judge
from tests.oracles import require

NOW = 1_500_000_000

# Debian's names of architectures, and ours.
PROCESSORS = {"amd64": "x86_64", "i386": "i386", "arm64": "aarch64"}


def judge_command(architecture: str) -> list[str]:
    """Return the real ldconfig of an architecture; roots contain those of other architectures."""
    if architecture == "amd64":
        return command_for(Path(require("ldconfig")), architecture)
    return command_for(debian.libraries(architecture) / "sbin/ldconfig", architecture)


def ours(architecture: str, tree: Tree, form: CacheFormat, cache: bytes) -> Configured:
    return ldconfig(
        tree,
        mtime=NOW,
        architecture=ARCHITECTURES[PROCESSORS[architecture]],
        format=form,
        # The old format has no field for the generator.
        generator=parse_ld_cache(Input(cache, name="the judge's")).generator,
    )


@pytest.mark.oracle
@pytest.mark.parametrize("architecture", PROCESSORS)
def test_debian_cache_equals_real_ldconfig_in_all_formats(
    tmp_path: Path, architecture: str
) -> None:
    root = tmp_path / "root"
    lay_down(debian.libraries(architecture), root, links=True)
    before = load(root)
    for form in CacheFormat:
        cache = run_judge(judge_command(architecture), root, form)
        done = ours(architecture, before, form, cache)
        assert cache_bytes(done.tree) == cache
        assert len(done.entries) > 130
    assert links(done.tree) == links(load(root))


@pytest.mark.oracle
@pytest.mark.parametrize("architecture", PROCESSORS)
def test_deleted_links_of_debian_are_restored(tmp_path: Path, architecture: str) -> None:
    root = tmp_path / "root"
    lay_down(debian.libraries(architecture), root, links=False)
    before = load(root)
    cache = run_judge(judge_command(architecture), root, CacheFormat.NEW)
    done = ours(architecture, before, CacheFormat.NEW, cache)
    made = links(load(root))
    assert len(made.keys() - links(before).keys()) > 100
    assert links(done.tree) == made
    assert cache_bytes(done.tree) == cache
    # Architecture and generator are also detected.
    alone = ldconfig(before, mtime=NOW)
    assert cache_bytes(alone.tree) == cache
    assert links(alone.tree) == made
