"""Look up extensions, gems and packages, and resolve their dependencies."""
