"""Look up extensions, gems and packages, and resolve what they depend on."""
