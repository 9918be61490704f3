"""From a recipe to a plan: everything is decided here, and nothing done."""

from purekernel.plan.plan import Plan, PlannedFile, PlannedGem
from purekernel.plan.planner import Planner, make_plan

__all__ = ["Plan", "PlannedFile", "PlannedGem", "Planner", "make_plan"]
