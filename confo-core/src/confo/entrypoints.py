"""What is installed, read from the metadata of distributions; a broken distribution costs itself only."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import importlib_metadata as metadata

log = logging.getLogger("confo")

_told: set[str] = set()
"""Broken distributions that the log has named already."""


def entry_points(group: str, name: str | None = None) -> list[metadata.EntryPoint]:
    """Return the entry points of a group, or those of one name; distributions whose metadata is broken are left out."""
    import importlib_metadata as metadata

    wanted = {"group": group} if name is None else {"group": group, "name": name}
    try:
        return list(metadata.entry_points(**wanted))
    except Exception:  # noqa: BLE001 - one broken entry_points.txt fails the whole call with whatever it meets
        return [point for points in _one_by_one() for point in points.select(**wanted)]


def owner(point: metadata.EntryPoint) -> tuple[str, str]:
    """Return the name and the version of the distribution that provides an entry point."""
    try:
        if point.dist is not None:
            return point.dist.name or "unknown distribution", point.dist.version or "?"
    except Exception:  # noqa: BLE001 - a missing or damaged METADATA raises whatever it meets
        _tell(point.dist)
    return "unknown distribution", "?"


def version_of(distribution: str) -> str | None:
    """Return the version of an installed distribution, None if it is not installed."""
    import importlib_metadata as metadata

    try:
        return metadata.version(distribution)
    except Exception:  # noqa: BLE001 - not there, or there with damaged metadata
        return None


def _one_by_one() -> Iterator[metadata.EntryPoints]:
    """Return every distribution's entry points; the first of a name on ``sys.path`` wins, as at import."""
    import importlib_metadata as metadata

    seen: set[str] = set()
    for distribution in metadata.distributions():
        try:
            points, name = distribution.entry_points, re.sub(r"[-_.]+", "-", distribution.name).lower()  # PEP 503
        except Exception:  # noqa: BLE001 - as above
            _tell(distribution)
            continue
        if name not in seen:
            seen.add(name)
            yield points


def _tell(distribution: object) -> None:
    place = str(getattr(distribution, "_path", "a distribution of unknown place"))
    if place not in _told:
        _told.add(place)
        log.warning("left out: the metadata in %s cannot be read; install that distribution anew", place)
