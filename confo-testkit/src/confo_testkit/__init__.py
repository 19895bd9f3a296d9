"""What authors of backends test with: the contract of the seam, faults on command, a state machine.

``confo_testkit.contract.BackendContract`` is subclassed in a test module, ``confo_testkit.faults.FaultyBackend`` wraps
a backend, ``confo_testkit.stateful.BackendStateMachine`` looks for sequences that lose an edit. Importing this package
imports none of them.
"""

from __future__ import annotations

import pytest

# Assertions in there are to explain themselves as those of a test module do: pytest rewrites a module only if it is
# named before its first import.
pytest.register_assert_rewrite("confo_testkit.contract", "confo_testkit.stateful")
