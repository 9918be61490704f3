"""Change a root file system in memory, without a chroot."""
