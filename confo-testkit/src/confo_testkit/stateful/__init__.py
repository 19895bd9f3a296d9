"""A state machine that looks for lost, doubled and misreported edits, on any backend.

Two writers, a follower and another tool work on one namespace through ``FaultyBackend``s. Hypothesis makes up what
they do and what fails meanwhile, and shortens what it finds. Every value that is written is written once, so that each
value in the store says whose edit it is. What the store must hold is told by a model that knows what was edited and
what a commit promised, and nothing of how the core does it.
"""

from __future__ import annotations

from confo_testkit.stateful.machine import BackendStateMachine
from confo_testkit.stateful.model import MARK, NAMESPACE

__all__ = ["MARK", "NAMESPACE", "BackendStateMachine"]
