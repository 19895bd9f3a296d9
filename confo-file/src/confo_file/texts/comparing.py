"""What of a text's values stays as it is, so that its text stays too."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any


def is_same(old: Any, new: Any) -> bool:
    """Tell whether two values are the same, types included; the order of names in objects does not count."""
    return json.dumps(old, sort_keys=True) == json.dumps(new, sort_keys=True)


def alike(old: list[Any], wanted: list[Any], same: Callable[[Any, Any], bool] = is_same) -> tuple[int, int]:
    """Return how many items at the beginning and at the end are as they were."""
    kept = [same(a, b) for a, b in zip(old, wanted, strict=False)]
    head = next((place for place, is_kept in enumerate(kept) if not is_kept), len(kept))
    tail = 0
    while tail < min(len(old), len(wanted)) - head and same(old[-1 - tail], wanted[-1 - tail]):
        tail += 1
    return head, tail
