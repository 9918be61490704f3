"""Plan a build: decide all of it, without doing any of it."""

from purekernel.plan.plan import ExtensionPlan, GemPlan, Plan, PlannedFile
from purekernel.plan.planner import Planner, make_plan

__all__ = ["ExtensionPlan", "GemPlan", "Plan", "PlannedFile", "Planner", "make_plan"]
