"""Plan a build: decide all of it, without doing any of it.

The modules are imported on first use: an image of a bundle needs no plan.
"""

from typing import TYPE_CHECKING

from purekernel.libraries import lazy_names

if TYPE_CHECKING:
    from purekernel.plan.fetch_plan import Gathered, gather, open_plan_context
    from purekernel.plan.plan import ExtensionPlan, GemPlan, Plan, PlannedFile
    from purekernel.plan.planner import Planner, make_plan
else:
    __getattr__ = lazy_names(
        __name__,
        {
            "fetch_plan": "Gathered gather open_plan_context",
            "plan": "ExtensionPlan GemPlan Plan PlannedFile",
            "planner": "Planner make_plan",
        },
    )

__all__ = [
    "ExtensionPlan",
    "Gathered",
    "GemPlan",
    "Plan",
    "PlannedFile",
    "Planner",
    "gather",
    "make_plan",
    "open_plan_context",
]
