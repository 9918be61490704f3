"""Compare our indexes of all modules of Debian's amd64 kernel with those of kmod."""

from __future__ import annotations

import random
import re
import subprocess
from pathlib import Path

import pytest

from purekernel.formats.kernel_module import parse_kernel_module
from purekernel.input import Input
from purekernel.records import frozen
from purekernel.rootfs.depmod import Indexed, depmod
from purekernel.tree import File, Tree
from tests import debian
from tests.depmods import copy_root, installed_kmod, load, run_kmod
from tests.oracles import require, run

pytestmark = pytest.mark.oracle

# Fields that modinfo reads from a module's signature or file name, or combines from two fields.
ELSEWHERE = ("sig_id", "signer", "sig_key", "sig_hashalgo", "signature", "name", "parm", "parmtype")


@frozen(kw_only=True)
class Kernel:
    """Hold Debian's modules: their folder, their tree, and our indexes."""

    root: Path
    release: str
    tree: Tree
    indexed: Indexed

    @property
    def folder(self) -> str:
        return f"lib/modules/{self.release}"

    def sample(self, count: int) -> list[bytes]:
        """Return the paths of a sample of modules."""
        modules = [path for path, _ in self.tree.walk() if path.endswith(b".ko")]
        return random.Random(4).sample(modules, count)


@pytest.fixture(scope="module")
def kernel() -> Kernel:
    root, release = debian.kernel("amd64")
    tree = load(root)
    indexed = depmod(tree, release.encode(), mtime=0, dialect=installed_kmod())
    return Kernel(root=root, release=release, tree=tree, indexed=indexed)


@pytest.fixture(scope="module")
def theirs(kernel: Kernel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("theirs") / "root"
    copy_root(kernel.root, root)
    return root


def test_files_equal_those_of_kmod(kernel: Kernel, theirs: Path) -> None:
    judged = run_kmod(theirs, kernel.release)
    assert judged.status == 0
    assert not judged.stderr
    assert set(kernel.indexed.files) == set(judged.files)
    different = [name for name, said in judged.files.items() if kernel.indexed.files[name] != said]
    assert not different
    assert not kernel.indexed.warnings
    assert judged.files[b"modules.dep"].count(b"\n") > 4000


def test_modprobe_resolves_the_same_with_our_indexes(
    kernel: Kernel, theirs: Path, tmp_path: Path
) -> None:
    run_kmod(theirs, kernel.release)
    ours = tmp_path / "root"
    copy_root(kernel.root, ours)
    for name, content in kernel.indexed.files.items():
        (ours / kernel.folder / name.decode()).write_bytes(content)
    asked = [Path(path.decode()).stem for path in kernel.sample(200)]
    asked += ["pci:v00008086d0000100Esv00001AF4sd00001100bc02sc00i00", "symbol:usb_submit_urb"]
    told = [
        [
            modprobe(
                "-S", kernel.release, "-d", root, "-C", "/dev/null", "--show-depends", name
            ).replace(str(root), "")
            for name in asked
        ]
        for root in (ours, theirs)
    ]
    assert told[0] == told[1]
    assert all(told[0])
    assert sum(lines.count("insmod ") for lines in told[0]) > 400
    assert "/e1000.ko" in told[0][-2]
    assert "/usbcore.ko" in told[0][-1]


def test_information_equals_modinfo(kernel: Kernel) -> None:
    modinfo = require("modinfo")
    for path in kernel.sample(100):
        shown = run(modinfo, "-0", kernel.root / path.decode()).decode().split("\0")
        lines = [line for line in shown[1:-1] if re.split("[=:]", line)[0] not in ELSEWHERE]
        told = parse_kernel_module(Input(content(kernel, path), name="x")).information
        assert lines == [
            f"{key.decode()}={value.decode()}"
            for key, value in told
            if key.decode() not in ELSEWHERE
        ]


def test_symbols_equal_modprobe(kernel: Kernel) -> None:
    exports = versions = 0
    for path in kernel.sample(100):
        place = kernel.root / path.decode()
        module = parse_kernel_module(Input(content(kernel, path), name="x"))
        # modprobe fails if the module exports no symbols.
        shown = modprobe("--show-exports", place).splitlines()
        assert shown == [f"0x{crc:08x}\t{name.decode()}" for name, crc in module.exports]
        exports += len(shown)
        shown = modprobe("--dump-modversions", place).splitlines()
        assert sorted(shown) == sorted(
            f"0x{want.crc:08x}\t{want.name.decode()}" for want in module.needs if want.crc
        )
        versions += len(shown)
    assert exports > 50
    assert versions > 2000


def modprobe(*arguments: str | Path) -> str:
    """Run modprobe; return its output, even if it fails."""
    done = subprocess.run(
        [require("modprobe"), *map(str, arguments)], capture_output=True, text=True, check=False
    )
    return done.stdout


def content(kernel: Kernel, path: bytes) -> bytes:
    node = kernel.tree[path]
    assert isinstance(node, File)
    return bytes(node.content)
