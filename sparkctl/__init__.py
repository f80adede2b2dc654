"""Declarative deployment of vLLM models on an NVIDIA DGX Spark.

``connect`` returns a Spark, whose methods are the commands of the command line; docs/api.md shows how. What stands here
is imported when it is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from sparkctl.base import errors
    from sparkctl.memory.changes import Changes
    from sparkctl.mods.verdicts import ModVerdict
    from sparkctl.operations.agent.kept import BoxEvent
    from sparkctl.operations.agent.status import AgentStatus
    from sparkctl.operations.bench.result import Bench
    from sparkctl.operations.bench.service import BenchProtocol
    from sparkctl.operations.checks.checker import CheckVerdict
    from sparkctl.operations.doctor import Examined
    from sparkctl.operations.evaluation.kept import Evaluated
    from sparkctl.operations.evaluation.retention import Comparison
    from sparkctl.operations.exchange.export import ExportedFiles
    from sparkctl.operations.explained.upgrade import UpgradedService
    from sparkctl.operations.files.render import Rendered
    from sparkctl.operations.guard.status import GuardStatus
    from sparkctl.operations.jobs.memory.plan import PlannedJob
    from sparkctl.operations.jobs.run import MadeJob
    from sparkctl.operations.memory.fits import Fits
    from sparkctl.operations.memory.plan import PlannedSet, SetDoesNotFitError
    from sparkctl.operations.memory.size import Size
    from sparkctl.operations.models import Downloaded
    from sparkctl.operations.services.running import Stopped
    from sparkctl.operations.spark import Spark, connect
    from sparkctl.operations.stack.apply import AppliedStack
    from sparkctl.operations.stack.diff import StackDiff
    from sparkctl.operations.stack.history import PastApply
    from sparkctl.operations.stack.lock.stack_lock import WrittenLock
    from sparkctl.operations.stack.lock.upgrade import Upgraded
    from sparkctl.operations.stack.over_hosts.apply import AppliedHosts
    from sparkctl.operations.stack.over_hosts.diff import HostsDiff
    from sparkctl.operations.stack.over_hosts.placing import PlacedStack
    from sparkctl.operations.stack.rollback import RolledBack
    from sparkctl.operations.status.liveness import Life
    from sparkctl.operations.status.services import ServiceNow, ServiceStatus
    from sparkctl.planning.box.lock_differences import LockDifference
    from sparkctl.planning.plan import Plan
    from sparkctl.planning.ways import Way
    from sparkctl.recipes.explained.explanation import Explained
    from sparkctl.recipes.service import Service
    from sparkctl.world.labels import ServiceLabels
    from sparkctl.world.ports import Report

__all__ = [
    "AgentStatus",
    "AppliedHosts",
    "AppliedStack",
    "Bench",
    "BenchProtocol",
    "BoxEvent",
    "Changes",
    "CheckVerdict",
    "Comparison",
    "Downloaded",
    "Evaluated",
    "Examined",
    "Explained",
    "ExportedFiles",
    "Fits",
    "GuardStatus",
    "HostsDiff",
    "Life",
    "LockDifference",
    "MadeJob",
    "ModVerdict",
    "PastApply",
    "PlacedStack",
    "Plan",
    "PlannedJob",
    "PlannedSet",
    "Rendered",
    "Report",
    "RolledBack",
    "Service",
    "ServiceLabels",
    "ServiceNow",
    "ServiceStatus",
    "SetDoesNotFitError",
    "Size",
    "Spark",
    "StackDiff",
    "Stopped",
    "Upgraded",
    "UpgradedService",
    "Way",
    "WrittenLock",
    "connect",
    "errors",
]

_PLACES: Final = {
    "AgentStatus": "operations.agent.status",
    "AppliedHosts": "operations.stack.over_hosts.apply",
    "AppliedStack": "operations.stack.apply",
    "Bench": "operations.bench.result",
    "BenchProtocol": "operations.bench.service",
    "BoxEvent": "operations.agent.kept",
    "Changes": "memory.changes",
    "CheckVerdict": "operations.checks.checker",
    "Comparison": "operations.evaluation.retention",
    "Evaluated": "operations.evaluation.kept",
    "Downloaded": "operations.models",
    "Examined": "operations.doctor",
    "Explained": "recipes.explained.explanation",
    "ExportedFiles": "operations.exchange.export",
    "Fits": "operations.memory.fits",
    "GuardStatus": "operations.guard.status",
    "HostsDiff": "operations.stack.over_hosts.diff",
    "Life": "operations.status.liveness",
    "LockDifference": "planning.box.lock_differences",
    "MadeJob": "operations.jobs.run",
    "ModVerdict": "mods.verdicts",
    "PastApply": "operations.stack.history",
    "PlacedStack": "operations.stack.over_hosts.placing",
    "Plan": "planning.plan",
    "PlannedJob": "operations.jobs.memory.plan",
    "PlannedSet": "operations.memory.plan",
    "Rendered": "operations.files.render",
    "Report": "world.ports",
    "RolledBack": "operations.stack.rollback",
    "Service": "recipes.service",
    "ServiceLabels": "world.labels",
    "ServiceNow": "operations.status.services",
    "ServiceStatus": "operations.status.services",
    "SetDoesNotFitError": "operations.memory.plan",
    "Size": "operations.memory.size",
    "Spark": "operations.spark",
    "StackDiff": "operations.stack.diff",
    "Stopped": "operations.services.running",
    "Upgraded": "operations.stack.lock.upgrade",
    "UpgradedService": "operations.explained.upgrade",
    "Way": "planning.ways",
    "WrittenLock": "operations.stack.lock.stack_lock",
    "connect": "operations.spark",
}
"""Where each public name lives."""


def __getattr__(name: str) -> Any:  # noqa: ANN401  (whatever the name stands for)
    if name == "errors":
        return importlib.import_module("sparkctl.base.errors")
    if name not in _PLACES:
        message = f"module 'sparkctl' has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(importlib.import_module(f"sparkctl.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
