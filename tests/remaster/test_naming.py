"""Test that the name of an image is known before the image is made."""

from __future__ import annotations

from pathlib import Path

import pytest

from purekernel import Context, Outputs
from purekernel.errors import BundleError, UsageError
from purekernel.plan.fetch_plan import open_plan_context
from purekernel.plan.planner import make_plan
from purekernel.recipe.model import Recipe
from purekernel.recipe.request import Request, join_request
from purekernel.remaster.outputs.write import output_names
from tests.workshop import Workshop


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    return Workshop(tmp_path, monkeypatch)


def named(workshop: Workshop, *, version: str | None) -> str:
    request = Request(config=workshop.top / "bundle.cfg", iso_version=version)
    with open_plan_context(join_request(request, {}), Context()) as plan_context:
        _planner, plan = make_plan(plan_context)
        return plan.conventions.identity(plan.recipe, plan.flavour).name


def test_microkernel_name_has_flavour_and_version(workshop: Workshop) -> None:
    assert named(workshop, version="0.9.0.1") == "rz_mk_dev-image.0.9.0.1"


def test_microkernel_without_version_is_refused(workshop: Workshop) -> None:
    with pytest.raises(BundleError) as caught:
        named(workshop, version=None)
    assert caught.value.message == (
        "the command line: the image's version is missing: neither the recipe nor the project "
        "sets it"
    )
    assert caught.value.hint == "give one with --iso-version, such as --iso-version 0.9.0.1"


def test_output_names_have_a_fixed_order() -> None:
    kinds = Outputs(kinds=["pxe", "iso"]).kinds_for(Recipe())
    assert output_names("my-core", kinds, Recipe()) == ["my-core.iso", "my-core.pxe", "SHA256SUMS"]
    kinds = Outputs(kinds=["core"]).kinds_for(Recipe())
    assert output_names("my-core", kinds, Recipe()) == ["core.gz", "vmlinuz", "SHA256SUMS"]
    with pytest.raises(UsageError):
        Outputs(kinds=[])
