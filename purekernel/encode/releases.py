"""Name the releases of what decides the bytes of an image besides its inputs."""

from __future__ import annotations

from functools import cache

from purekernel.version import __version__

# The packages whose release can change the bytes of an image: the encoders of cores and squashfs
# images, and the library that lays out ISOs. xz comes with Python, which does not tell its release.
PACKAGES = ("backports.zstd", "deflate", "lz4", "pycdlib", "zopfli")


@cache
def installed_releases() -> dict[str, str]:
    """Return the releases of purekernel and of the installed packages among ``PACKAGES``."""
    from importlib import metadata  # noqa: PLC0415  # 20 ms, which few runs need

    releases = {"purekernel": __version__}
    for name in PACKAGES:
        try:
            releases[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return releases
