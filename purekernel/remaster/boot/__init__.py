"""How an image boots: its menus, and the ways to boot that its base has."""
