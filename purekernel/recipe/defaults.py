"""Give the default sources, names and accounts.

Source: build-bundle-file.sh for all but the first; some of its own addresses no longer work.
"""

from __future__ import annotations

RECIPE_NAME = "purekernel.toml"

# The last one has no https: it is used only if --allow-http permits it, or for pinned files.
TINYCORE_MIRRORS = (
    "https://distro.ibiblio.org/tinycorelinux",
    "https://www.tinycorelinux.net",
    "http://repo.tinycorelinux.net",
)
GEM_SERVERS = ("https://rubygems.org",)
RUBYGEMS = "https://rubygems.org/rubygems/rubygems-1.8.24.tgz"
OPEN_VM_TOOLS = "https://downloads.puppetlabs.com/razor/open-vm-tools/mk-open-vm-tools.tar.gz"
MCOLLECTIVE = "https://downloads.puppetlabs.com/mcollective/mcollective-2.0.0.tgz"

# A Microkernel's own programs are in lib/ruby/1.8, and this is the last release of Ruby 1.8.
RUBY = "1.8.7"

# Core's own user. The console logs in as this user unless the image changes that.
USER = "tc"

# Publicly documented: any user who can start a development image can log in to it.
TC_PASSWORD = "test1234"  # noqa: S105

# Left out of production images, with the extensions that only it needs.
OPENSSH = "openssh.tcz"

# Only some of its programs are copied into the image. The others would hide busybox's own
# programs, which Facter needs.
UTIL_LINUX = "util-linux.tcz"

# Debian packages that Core replaces: its libraries, under their names in every release of
# Debian, and the packages that dpkg itself uses.
PACKAGES_IN_CORE = (
    "libc6", "libc-bin", "libgcc1", "libgcc-s1", "libstdc++6", "zlib1g",
    "libblkid1", "libuuid1", "libcomerr2", "libcom-err2", "e2fslibs", "libext2fs2",
    "dpkg", "debconf", "debconf-2.0", "multiarch-support", "install-info",
)  # fmt: skip

REMASTER_NAME = "remaster"
