"""TOML, and on which line of it everything stands."""

from purekernel.formats.toml.document import TomlDocument, parse_toml
from purekernel.formats.toml.scanner import MAX_DEPTH, MAX_VALUES, TomlPath

__all__ = ["MAX_DEPTH", "MAX_VALUES", "TomlDocument", "TomlPath", "parse_toml"]
