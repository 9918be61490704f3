"""What the image of a plan is called, before anything of it is made."""

from __future__ import annotations

from purekernel.build.identity import (
    Identity,
    check_version,
    microkernel_identity,
    remaster_identity,
)
from purekernel.errors import BundleError
from purekernel.plan import Plan
from purekernel.recipe.defaults import REMASTER_NAME
from purekernel.recipe.flavour import Flavour


def identify(plan: Plan) -> Identity:
    """Return what the image of ``plan`` is called.

    Raises:
        BundleError: a Microkernel has no version, or one that no file name can have.
    """
    version = planned_version(plan)
    project = plan.project
    if project is None:
        name = plan.recipe.name or REMASTER_NAME
        return remaster_identity(name=name, version=version, flavour=plan.flavour)
    if version is None:
        raise BundleError(
            f"neither {plan.recipe.source} nor the project says the image's version",
            hint="give one with --iso-version, such as --iso-version 0.9.0.1",
        )
    return microkernel_identity(
        version=version,
        flavour=plan.flavour or Flavour.DEV,
        generation=project.generation,
        has_licence=b"LICENSE" in project.tree,
    )


def planned_version(plan: Plan) -> str | None:
    """Return the version of the image, which is the recipe's or the project's.

    Raises:
        BundleError: it cannot stand in a file name and a volume id.
    """
    version = plan.recipe.version or (None if plan.project is None else plan.project.version)
    return None if version is None else check_version(version)
