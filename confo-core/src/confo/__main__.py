"""``python -m confo``: what is installed, and what is broken and why."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator

import confo
from confo import plugins
from confo.entrypoints import version_of
from confo.errors import PluginError


def report() -> Iterator[tuple[str, bool]]:
    """Yield lines, each with whether it is well."""
    yield f"confo-core {confo.__version__}, Python {platform.python_version()}", True
    if old := version_of("confo"):
        advice = "pip uninstall confo, then pip install --force-reinstall confo-core"
        yield f"confo {old} of 2021 is installed too, and each overwrites files of the other: {advice}", False
    yield "backends:", True
    for kind, plugin in plugins.installed().items():
        yield from _line(kind, plugin, _problem(kind, plugin))
    extensions = plugins.extensions()
    yield "plugins:" if extensions else "plugins: none", True
    for name, plugin in extensions.items():
        yield from _line(name, plugin, plugin.error)


def _line(name: str, plugin: plugins.Plugin, problem: str | None) -> Iterator[tuple[str, bool]]:
    yield f"  {name:<12} {plugin.distribution} {plugin.version}: {problem or 'works'}", problem is None


def _problem(kind: str, plugin: plugins.Plugin) -> str | None:
    """Say why a backend cannot be used, by loading it; None if it can."""
    try:
        plugins.load(kind)
    except PluginError as error:
        return plugin.error or str(error)
    return None


def main() -> int:
    """Print the report; return 1 if something is broken."""
    lines = list(report())
    print("\n".join(text for text, _ in lines))  # noqa: T201 - it is a command
    return 0 if all(well for _, well in lines) else 1


if __name__ == "__main__":
    sys.exit(main())
