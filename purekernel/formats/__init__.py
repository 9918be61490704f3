"""Parse and build file formats, without access to the clock, the network or the environment."""
