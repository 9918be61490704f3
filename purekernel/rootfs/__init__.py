"""What once needed a chroot, as functions from tree to tree."""
