"""From a recipe to a plan: everything is decided here, and nothing done."""

from purekernel.build.planning.plan import Plan, PlannedFile, PlannedGem
from purekernel.build.planning.planner import Planner, make_plan

__all__ = ["Plan", "PlannedFile", "PlannedGem", "Planner", "make_plan"]
