"""The kinds of backends as constants, and their classes, computed from what is installed.

``BE.ETCD_BACKEND`` is the kind "etcd"; ``from confo.Backends.EtcdBackend import EtcdBackend`` is the class that the
plugin of this kind hands over. Both work for every installed kind, whoever published it, and a name of a kind that
is not installed says which are and what to pip install.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from confo import NamesakePackage, plugins
from confo.errors import BackendNotInstalled, UnknownConstant
from confo.hints import instead

_CONSTANT = "_BACKEND"
_CLASS = "Backend"
__path__ = []  # its modules are computed, none is a file: this also keeps the usual finders away


def __getattr__(name: str) -> Any:
    """Return the kind (a str) for a constant, or the class for a class name."""
    kind = _kind_of(name)
    if kind is None:
        hint = "" if name.startswith("__") else instead(name, __dir__())
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}{hint}")
    if not plugins.is_installed(kind):
        raise UnknownConstant(plugins.not_installed(kind))
    return kind if name.endswith(_CONSTANT) else plugins.load(kind)


def __dir__() -> list[str]:
    """List the constants and classes of the installed kinds."""
    return [constant_of(kind) for kind in plugins.kinds()] + [class_of(kind) for kind in plugins.kinds()]


def constant_of(kind: str) -> str:
    """Return the constant's name: "my-store" is MY_STORE_BACKEND."""
    return re.sub(r"\W+", "_", kind).upper() + _CONSTANT


def class_of(kind: str) -> str:
    """Return the class's name: "my-store" is MyStoreBackend."""
    return "".join(part.capitalize() for part in re.split(r"[\W_]+", kind)) + _CLASS


def _kind_of(name: str) -> str | None:
    """Return the installed kind that this name means, whatever its case and dashes; else the name's own stem."""
    for ending in (_CONSTANT, _CLASS):
        stem = name.removesuffix(ending)
        if stem and stem != name and not name.startswith("_"):
            kind = stem.lower()
            if plugins.is_installed(kind):  # nearly always, and it saves listing every distribution
                return kind
            return next((other for other in plugins.kinds() if _plain(other) == _plain(stem)), kind)
    return None


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).lower()


class _Finder(MetaPathFinder, Loader):
    """Makes ``confo.Backends.<Kind>Backend`` modules: each holds the one class, loaded when it is imported."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002 - the import system's signature
        target: ModuleType | None = None,  # noqa: ARG002 - likewise
    ) -> ModuleSpec | None:
        """Return a spec for a module of this package; say what to install when there is no such kind."""
        package, _, name = fullname.rpartition(".")
        if package != __name__:
            return None
        kind = _kind_of(name)
        if kind is None:
            return None
        if name.endswith(_CONSTANT) or not plugins.is_installed(kind):
            raise BackendNotInstalled(plugins.not_installed(kind))
        return ModuleSpec(fullname, self)

    def exec_module(self, module: ModuleType) -> None:
        """Put the plugin's class into the module, under the name that was asked for."""
        name = module.__name__.rpartition(".")[2]
        setattr(module, name, plugins.load(str(_kind_of(name))))


sys.meta_path.append(_Finder())
sys.modules[__name__].__class__ = NamesakePackage
