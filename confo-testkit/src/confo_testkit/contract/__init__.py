"""What every backend must do, as tests: subclass ``BackendContract`` and give it the fixture ``open_backend``.

A topic a module; together they are the whole seam, ``confo.backend``. What is declared in ``capabilities`` is proved,
and what is not declared must be refused:

- without ``push``, ``watch`` raises NotSupported, at the call or from the stream;
- without ``resumable``, a watch from a revision after which something was committed raises ResyncNeeded, at the call
  or from the stream: the core loads anew then, which is what it does for a store that forgot;
- without ``every_commit``, a batch may be several whole commits, and never a part of one;
- without ``durable``, a store that was closed or restarted is whole or empty;
- without ``shared``, another process does not see what this one commits.

No test is ever skipped. What can be tried only with more than ``open_backend`` stands in a class of its own, to be
added to the bases: ``OutOfBandContract`` (fixture ``outside``), ``ConnectionContract`` (``cut``),
``CompactionContract`` (``compact``), ``RestartContract`` (``restart``), ``CredentialsContract`` (``credentials``),
``HeartbeatContract`` (``heartbeat``), ``DriverContract`` (``failing``).
"""

from __future__ import annotations

from confo_testkit.contract.additions import (
    CompactionContract,
    CredentialsContract,
    HeartbeatContract,
    OutOfBandContract,
    Outside,
    RestartContract,
)
from confo_testkit.contract.base import CONTRACT_VERSION, Contract, Reader
from confo_testkit.contract.committing import CommittingContract
from confo_testkit.contract.connection import ConnectionContract, DriverContract
from confo_testkit.contract.editing import EditingContract
from confo_testkit.contract.lifecycle import LifecycleContract
from confo_testkit.contract.namespaces import NamespacesContract
from confo_testkit.contract.processes import ProcessesContract
from confo_testkit.contract.reading import ReadingContract
from confo_testkit.contract.watching import WatchingContract

__all__ = [
    "CONTRACT_VERSION",
    "BackendContract",
    "CompactionContract",
    "ConnectionContract",
    "Contract",
    "CredentialsContract",
    "DriverContract",
    "HeartbeatContract",
    "OutOfBandContract",
    "Outside",
    "Reader",
    "RestartContract",
]


class BackendContract(
    NamespacesContract,
    ReadingContract,
    CommittingContract,
    EditingContract,
    WatchingContract,
    LifecycleContract,
    ProcessesContract,
):
    """The seam, promise by promise; ``seconds`` is how long a test waits for what must come."""
