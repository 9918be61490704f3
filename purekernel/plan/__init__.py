"""Plan a build: decide all of it, without doing any of it."""

from purekernel.plan.plan import Plan, PlannedFile, PlannedGem
from purekernel.plan.planner import Planner, make_plan

__all__ = ["Plan", "PlannedFile", "PlannedGem", "Planner", "make_plan"]
