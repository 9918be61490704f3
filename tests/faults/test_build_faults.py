"""Let each call to the host fail once while images are built."""

from __future__ import annotations

import pytest

from tests.faults.checks import LINUX, check_every_fault

pytestmark = [pytest.mark.faults, LINUX]


@pytest.mark.parametrize("name", ["sample", "sample replaces outputs", "build by lock file"])
def test_build_survives_the_failure_of_each_call(name: str) -> None:
    check_every_fault(name)
