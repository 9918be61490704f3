"""Where things come from when nobody says otherwise.

Source: build-bundle-file.sh for all but the first; its own addresses have moved since.
"""

from __future__ import annotations

TINYCORE_MIRRORS = (
    "http://repo.tinycorelinux.net",
    "http://distro.ibiblio.org/tinycorelinux",
)
GEM_SERVERS = ("https://rubygems.org",)
RUBYGEMS = "https://rubygems.org/rubygems/rubygems-1.8.24.tgz"
OPEN_VM_TOOLS = "http://downloads.puppetlabs.com/razor/open-vm-tools/mk-open-vm-tools.tar.gz"
MCOLLECTIVE = "http://downloads.puppetlabs.com/mcollective/mcollective-2.0.0.tgz"

# A Microkernel's own programs lie in lib/ruby/1.8, whose last release this is.
RUBY = "1.8.7"

# Core's own user, who is logged in by itself unless somebody changes that.
USER = "tc"

# Publicly documented: whoever can start a development image may log in to it.
TC_PASSWORD = "test1234"  # noqa: S105

# Left out of production images, with what only it needs.
OPENSSH = "openssh.tcz"

# Its programs are cut out; the rest of it would hide busybox's own, which Facter needs.
UTIL_LINUX = "util-linux.tcz"

# What Debian's packages depend on and Core has: its libraries, under the names that they had in
# any release, and what dpkg has for itself.
PACKAGES_IN_CORE = (
    "libc6", "libc-bin", "libgcc1", "libgcc-s1", "libstdc++6", "zlib1g",
    "libblkid1", "libuuid1", "libcomerr2", "libcom-err2", "e2fslibs", "libext2fs2",
    "dpkg", "debconf", "debconf-2.0", "multiarch-support", "install-info",
)  # fmt: skip

REMASTER_NAME = "remaster"
