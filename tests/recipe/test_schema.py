from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from enum import Enum
from fnmatch import fnmatch
from importlib import resources
from typing import Any

import pytest
from attrs import fields_dict
from jsonschema import Draft202012Validator

from purekernel.formats.iso.layout import SIZES_BYTES
from purekernel.formats.tinycore import EXTENSION_NAME_WORDS, LISTED_NAME
from purekernel.recipe import model
from purekernel.recipe.flavour import Flavour
from purekernel.recipe.model import MAX_TIMEOUT, BootChanges
from purekernel.recipe.schema import Schema, load_schema, schema_text, tables, to_toml
from purekernel.remaster.image import MAX_TIMESTAMP
from purekernel.remaster.image_name import VERSION
from purekernel.remaster.outputs import Emit
from tests.processes import ROOT

# Keywords whose failure is reported with "x-words".
WORDED = {"pattern", "minLength", "maxLength", "minimum", "maximum", "const"}
DEFINITIONS: dict[str, Schema] = load_schema()["$defs"]
TABLES = {table.key: table for table in tables()}


def subschemas(schema: Any) -> Iterator[Schema]:
    """Yield every schema in ``schema``, itself first."""
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


def test_schema_is_valid_and_ascii() -> None:
    Draft202012Validator.check_schema(load_schema())
    assert schema_text().isascii()
    assert json.loads(schema_text()) == load_schema()


def test_tables_are_closed_and_patterns_anchored() -> None:
    seen = 0
    for schema in subschemas(load_schema()):
        if schema.get("type") == "object":
            seen += 1
            assert schema["additionalProperties"] is False
        if "pattern" in schema:
            assert schema["pattern"].startswith("^")
            assert schema["pattern"].endswith("$")
        for pattern in schema.get("patternProperties", ()):
            assert pattern.startswith("^")
            assert pattern.endswith("$")
    assert seen == 16


def test_schema_uses_only_supported_keywords() -> None:
    """``check.py`` explains these keywords only."""
    known = {
        "$schema", "$id", "$ref", "$defs", "title", "description", "default", "examples",
        "writeOnly", "x-words", "type", "enum", "required", "additionalProperties", "properties",
        "patternProperties", "items", "minItems", "anyOf", "oneOf", "allOf", "not", *WORDED,
    }  # fmt: skip
    for schema in subschemas(load_schema()):
        assert set(schema) <= known
        if set(schema) & WORDED and schema not in ({"const": True}, {"const": False}):
            assert "x-words" in schema
        if schema.get("type") == "string":
            assert "pattern" in schema


@pytest.mark.parametrize("table", TABLES)
def test_every_key_has_description_and_valid_examples(table: str) -> None:
    assert TABLES[table].schema["description"].endswith(".")
    for key, schema in TABLES[table].keys.items():
        assert schema["title"]
        assert schema["description"].endswith(".")
        validator = Draft202012Validator({**schema, "$defs": DEFINITIONS})
        for example in (*schema["examples"], *([schema["default"]] if "default" in schema else ())):
            validator.validate(example)
            assert tomllib.loads(f"{key} = {to_toml(example)}") == {key: example}


def test_limits_agree_with_the_code() -> None:
    def enum(schema: Schema, kind: type[Enum]) -> None:
        assert schema["enum"] == [member.value for member in kind]

    top, iso, boot = (TABLES[key].keys for key in ("", "iso", "boot"))
    enum(top["flavour"], Flavour)
    enum(TABLES["gems"].keys["layout"], model.GemLayout)
    enum(TABLES["output"].keys["emit"]["items"], Emit)
    assert top["timestamp"]["maximum"] == MAX_TIMESTAMP
    assert boot["timeout"]["maximum"] == MAX_TIMEOUT
    for key in ("name", "version"):
        assert top[key]["pattern"] == f"^{VERSION.pattern}$"
    for key in ("volume-id", "system", "application", "publisher", "preparer"):
        assert iso[key]["maxLength"] == SIZES_BYTES[f"{key.removesuffix('-id')}_id"]
    extension = DEFINITIONS["extension-name"]
    assert extension["pattern"] == f"^(?:{LISTED_NAME})$"
    assert extension["x-words"] == EXTENSION_NAME_WORDS


@pytest.mark.parametrize(
    ("table", "kind", "besides"),
    [
        ("core", model.CoreChoice, set()),
        ("mirrors", model.Mirrors, set()),
        ("extensions", model.Extensions, {"builtin_list", "mirror_list"}),
        ("cut", model.Cut, {"list"}),
        ("need", model.Need, set()),
        ("debian", model.DebianChoice, set()),
        ("gems", model.Gems, {"list"}),
        ("overlay", model.OverlayChoice, set()),
        ("accounts", model.Account, set()),
        ("boot", BootChanges, {"autologin"}),
        ("razor", model.Razor, set()),
        ("output", model.OutputChoice, set()),
        ("downloads", model.DownloadChoice, set()),
    ],
)
def test_fields_and_keys_correspond(table: str, kind: type, besides: set[str]) -> None:
    keys = {key.replace("-", "_") for key in TABLES[table].keys}
    assert keys - besides == set(fields_dict(kind)) - {"name", "password_place"}
    assert besides <= keys


def test_defaults_agree_with_the_model() -> None:
    assert TABLES["core"].keys["version"]["default"] == model.CoreChoice().version
    assert TABLES["core"].keys["arch"]["default"] == model.CoreChoice().arch
    assert TABLES["extensions"].keys["dependencies"]["default"] is model.Extensions().dependencies
    assert TABLES["overlay"].keys["keep-owners"]["default"] is model.OverlayChoice().keep_owners
    assert TABLES["accounts"].keys["locked"]["default"] is model.Account(name="x").locked
    assert (
        TABLES["razor"].keys["ssh-host-keys"]["default"] is model.Razor(project="x").ssh_host_keys
    )


def test_passwords_are_write_only() -> None:
    secret = [key for key, schema in TABLES["accounts"].keys.items() if schema.get("writeOnly")]
    assert secret == ["password", "password-hash"]


def test_schema_is_in_the_package() -> None:
    found = resources.files("purekernel.recipe").joinpath("schema.json")
    assert json.loads(found.read_text(encoding="utf-8")) == load_schema()
    # Hatchling puts all files in purekernel/ into the wheel and the source distribution, except
    # files that git ignores.
    path = "purekernel/recipe/schema.json"
    for line in (ROOT / ".gitignore").read_text(encoding="utf-8").split():
        assert not fnmatch(path, line)
        assert not line.startswith("/") or not path.startswith(line[1:])
        assert line.startswith("/") or not re.search(rf"(^|/){re.escape(line)}", path)
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = settings["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["packages"] == ["purekernel"]
    assert not {"exclude", "include", "only-include"} & set(wheel)
