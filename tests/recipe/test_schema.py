from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from enum import Enum
from typing import Any

import pytest
from attrs import fields_dict
from jsonschema import Draft202012Validator

from purekernel.formats.iso.layout import SIZES_BYTES
from purekernel.formats.tinycore import EXTENSION_NAME_WORDS, LISTED_NAME
from purekernel.recipe.accounts import Account
from purekernel.recipe.additions import (
    Checksum,
    Cut,
    DebianChoice,
    Extensions,
    GemLayout,
    Gems,
    Need,
    OverlayChoice,
)
from purekernel.recipe.base import CoreChoice, DownloadChoice, Mirrors
from purekernel.recipe.boot import MAX_TIMEOUT, BootChanges
from purekernel.recipe.composition import VERSION
from purekernel.recipe.disk import DiskChoice
from purekernel.recipe.flavour import Flavour
from purekernel.recipe.iso_files import IsoChoice, IsoFile
from purekernel.recipe.kinds import Schema
from purekernel.recipe.model import MAX_TIMESTAMP, OutputChoice
from purekernel.recipe.razor import Razor
from purekernel.recipe.schema import build_schema, schema_text, tables
from purekernel.recipe.system import Group, SystemChoice
from purekernel.recipe.words import to_toml
from purekernel.remaster.outputs.write import Emit
from tests.recipe.schemas import SCHEMA, resolve

# Keywords for which failures are reported with the text of "x-words".
WORDED = {"pattern", "minLength", "maxLength", "minimum", "maximum", "const"}
DEFINITIONS: dict[str, Schema] = SCHEMA["$defs"]
TABLES = {table.name: table for table in tables()}
KEYS = {
    table.name: {name: resolve(key.schema()) for name, key in table.keys.items()}
    for table in tables()
}


def subschemas(schema: Any) -> Iterator[Schema]:
    """Yield ``schema`` itself, then every schema in it."""
    if isinstance(schema, dict):
        yield schema
        for key in ("properties", "$defs", "patternProperties"):
            for inner in schema.get(key, {}).values():
                yield from subschemas(inner)
        for key in ("allOf", "anyOf", "oneOf"):
            for inner in schema.get(key, []):
                yield from subschemas(inner)
        for key in ("items", "not"):
            yield from subschemas(schema.get(key))


@pytest.mark.slow
def test_schema_is_valid_and_ascii() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert schema_text().isascii()
    assert json.loads(schema_text()) == build_schema() == SCHEMA


def test_tables_are_closed_and_patterns_anchored() -> None:
    seen = 0
    for schema in subschemas(SCHEMA):
        if schema.get("type") == "object":
            seen += 1
            assert schema["additionalProperties"] is False
        if "pattern" in schema:
            assert schema["pattern"].startswith("^")
            assert schema["pattern"].endswith("$")
        for pattern in schema.get("patternProperties", ()):
            assert pattern.startswith("^")
            assert pattern.endswith("$")
    assert seen == 33


def test_schema_uses_only_supported_keywords() -> None:
    """Editors support only these keywords."""
    known = {
        "$schema", "$id", "$ref", "$defs", "title", "description", "default", "examples",
        "writeOnly", "x-words", "type", "enum", "required", "additionalProperties", "properties",
        "patternProperties", "items", "minItems", "anyOf", "oneOf", "allOf", "not", *WORDED,
    }  # fmt: skip
    for schema in subschemas(SCHEMA):
        assert set(schema) <= known
        if set(schema) & WORDED and schema not in ({"const": True}, {"const": False}):
            assert "x-words" in schema
        if schema.get("type") == "string":
            assert "pattern" in schema


@pytest.mark.parametrize("table", TABLES)
def test_every_key_has_description_and_valid_examples(table: str) -> None:
    assert (TABLES[table].description or SCHEMA["description"]).endswith(".")
    for key, schema in KEYS[table].items():
        assert schema["title"]
        assert schema["description"].endswith(".")
        validator = Draft202012Validator({**schema, "$defs": DEFINITIONS})
        for example in (*schema["examples"], *([schema["default"]] if "default" in schema else ())):
            validator.validate(example)
            assert tomllib.loads(f"{key} = {to_toml(example)}") == {key: example}


def test_limits_agree_with_the_code() -> None:
    def enum(schema: Schema, kind: type[Enum]) -> None:
        assert schema["enum"] == [member.value for member in kind]

    top, iso, boot = (KEYS[key] for key in ("", "iso", "boot"))
    enum(top["flavour"], Flavour)
    enum(KEYS["gems"]["layout"], GemLayout)
    enum(KEYS["output"]["emit"]["items"], Emit)
    assert top["timestamp"]["maximum"] == MAX_TIMESTAMP
    assert boot["timeout"]["maximum"] == MAX_TIMEOUT
    for key in ("name", "version"):
        assert top[key]["pattern"] == f"^{VERSION.pattern}$"
    for key in ("volume-id", "system", "application", "publisher", "preparer"):
        assert iso[key]["maxLength"] == SIZES_BYTES[f"{key.removesuffix('-id')}_id"]
    extension = DEFINITIONS["extension-name"]
    assert extension["pattern"] == f"^(?:{LISTED_NAME})$"
    assert extension["x-words"] == EXTENSION_NAME_WORDS


# Keys of [extensions] that name a file.
LISTS = {"builtin_list", "cde_list", "merged_list", "mirror_list", "tce_list"}

# Attributes that only the command line or a library sets.
NOT_IN_FILES = {"name", "places", "from_command_line", "layer", "reuse"}


@pytest.mark.parametrize(
    ("table", "kind", "besides"),
    [
        ("core", CoreChoice, set()),
        ("mirrors", Mirrors, set()),
        ("extensions", Extensions, LISTS),
        ("cut", Cut, {"list"}),
        ("need", Need, set()),
        ("checksum", Checksum, set()),
        ("debian", DebianChoice, set()),
        ("gems", Gems, {"list"}),
        ("iso", IsoChoice, set()),
        ("iso.file", IsoFile, set()),
        ("overlay", OverlayChoice, set()),
        ("accounts", Account, {"authorized_keys_list"}),
        ("groups", Group, set()),
        ("system", SystemChoice, set()),
        ("boot", BootChanges, {"autologin"}),
        ("disk", DiskChoice, set()),
        ("razor", Razor, set()),
        ("output", OutputChoice, set()),
        ("downloads", DownloadChoice, set()),
    ],
)
def test_fields_and_keys_correspond(table: str, kind: type, besides: set[str]) -> None:
    keys = {key.replace("-", "_") for key in TABLES[table].keys}
    assert keys - besides == set(fields_dict(kind)) - NOT_IN_FILES
    assert besides <= keys


def test_defaults_agree_with_the_model() -> None:
    assert KEYS["core"]["version"]["default"] == CoreChoice().version
    assert KEYS["core"]["arch"]["default"] == CoreChoice().arch
    assert KEYS["extensions"]["dependencies"]["default"] is Extensions().dependencies
    assert KEYS["overlay"]["keep-owners"]["default"] is OverlayChoice().keep_owners
    assert KEYS["accounts"]["locked"]["default"] is Account(name="x").locked
    assert KEYS["razor"]["ssh-host-keys"]["default"] is Razor(project="x").ssh_host_keys


def test_passwords_are_write_only() -> None:
    secret = [key for key, schema in KEYS["accounts"].items() if schema.get("writeOnly")]
    assert secret == ["password", "password-hash"]


def test_definitions_and_keys_keep_their_names() -> None:
    """Other programs may refer to them."""
    assert sorted(DEFINITIONS) == [
        "absolute-path", "account", "argument", "arguments", "checked-file", "container-path",
        "efi-path", "efi-place", "extension-name", "extension-names", "gem", "glob", "globs",
        "group", "id", "image-path", "iso-path", "lines", "long-field", "mode", "owner",
        "path", "place", "place-or-false", "places", "seconds", "sha256", "short-field", "size",
        "tree-path",
    ]  # fmt: skip
    assert list(SCHEMA["properties"]) == [
        "extends", "discard", "name", "version", "flavour", "timestamp", "drop-boot", "core",
        "mirrors", "extensions", "cut", "need", "checksum", "debian", "gems", "overlay", "accounts",
        "groups", "system", "remove", "file", "edit", "link", "attributes", "boot", "iso", "rootfs",
        "disk", "oci", "razor", "output", "findings", "downloads",
    ]  # fmt: skip
