"""Documents for YAML dumpers: PyYAML and ruamel.yaml write a frozen document as they write a dict.

Their representers go by exact type, so a subclass of dict must be made known to them. Neither library is imported for
it: what a program imports itself is taught when that happens.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder  # importlib.abc, whose classes these would be, takes 5 ms
from types import ModuleType
from typing import Any

_MODULES = ("yaml.representer", "ruamel.yaml.representer")


def teach(mapping: type, sequence: type) -> None:
    """Have the representers of both libraries take these classes as a dict and a list; now, or when imported."""
    for name in _MODULES:
        if name in sys.modules:
            _register(sys.modules[name], mapping, sequence)
    if not all(name in sys.modules for name in _MODULES):
        sys.meta_path.insert(0, _Teacher(mapping, sequence))


def _register(representers: ModuleType, mapping: type, sequence: type) -> None:
    for name in ("SafeRepresenter", "Representer", "RoundTripRepresenter"):  # each copies its base's table at first use
        representer: Any = getattr(representers, name, None)
        if representer is not None:
            representer.add_representer(mapping, representer.represent_dict)
            representer.add_representer(sequence, representer.represent_list)


class _Teacher:
    """Finds the modules of representers as ever, and teaches them when they have been executed."""

    def __init__(self, mapping: type, sequence: type) -> None:
        self._classes = mapping, sequence

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a module of representers, with a loader that teaches it; None for all others."""
        if fullname not in _MODULES:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Teaching(spec.loader, self._classes)  # type: ignore[assignment] # by its methods
        return spec


class _Teaching:
    """A module's own loader, and then the lesson."""

    def __init__(self, loader: Any, classes: tuple[type, type]) -> None:
        self._loader, self._classes = loader, classes

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Do what the loader does."""
        return self._loader.create_module(spec)  # type: ignore[no-any-return]

    def exec_module(self, module: ModuleType) -> None:
        """Execute the module, then teach it."""
        self._loader.exec_module(module)
        _register(module, *self._classes)

    def __getattr__(self, name: str) -> Any:
        """Be the loader for whoever asks it for sources or resources."""
        return getattr(self._loader, name)
