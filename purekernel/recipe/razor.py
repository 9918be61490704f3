"""Describe the table of a recipe that names a Razor project and its files."""

from __future__ import annotations

from attrs import field

from purekernel.recipe.keys import Placed, key, show_place
from purekernel.recipe.kinds import EXAMPLE_SHA256, FLAG, PLACE, PLACE_OR_FALSE, SHA256
from purekernel.records import frozen


@frozen(kw_only=True)
class Razor(Placed):
    """The Razor-Microkernel project that an image is built from.

    An empty place leaves the file out; ``None`` stands for the default.
    """

    project: str = field(
        repr=show_place,
        metadata=key(
            "Project",
            "The Razor-Microkernel project: a folder, a tarball, or a tarball's URL.",
            PLACE,
            "../Razor-Microkernel",
        ),
    )
    project_sha256: str | None = field(
        default=None,
        metadata=key(
            "SHA-256 of the project",
            "Expected SHA-256 of the project's tarball.",
            SHA256,
            EXAMPLE_SHA256,
        ),
    )
    rubygems: str | None = field(
        default=None,
        repr=show_place,
        metadata=key(
            "RubyGems",
            "RubyGems distribution that the image installs at boot.",
            PLACE_OR_FALSE,
            "https://rubygems.org/rubygems/rubygems-1.8.24.tgz",
        ),
    )
    rubygems_sha256: str | None = field(
        default=None,
        metadata=key(
            "SHA-256 of RubyGems",
            "Expected SHA-256 of the RubyGems distribution.",
            SHA256,
            EXAMPLE_SHA256,
        ),
    )
    open_vm_tools: str | None = field(
        default=None,
        repr=show_place,
        metadata=key(
            "Open VM tools", "The archive mk-open-vm-tools.tar.gz.", PLACE_OR_FALSE, False
        ),
    )
    open_vm_tools_sha256: str | None = field(
        default=None,
        metadata=key(
            "SHA-256 of the Open VM tools",
            "Expected SHA-256 of mk-open-vm-tools.tar.gz.",
            SHA256,
            EXAMPLE_SHA256,
        ),
    )
    mcollective: str | None = field(
        default=None,
        repr=show_place,
        metadata=key(
            "MCollective", "MCollective distribution, for a project of 2012.", PLACE_OR_FALSE, False
        ),
    )
    mcollective_sha256: str | None = field(
        default=None,
        metadata=key(
            "SHA-256 of MCollective",
            "Expected SHA-256 of the MCollective distribution.",
            SHA256,
            EXAMPLE_SHA256,
        ),
    )
    ssh_host_keys: bool = field(
        default=True,
        metadata=key(
            "SSH host keys",
            "Whether to include the host keys in the project's ssh files. All images then have "
            "the same keys.",
            FLAG,
            False,
        ),
    )
