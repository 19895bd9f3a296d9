"""What stands in another process for an object that does not travel there by pickle: it says what to do instead."""

from __future__ import annotations

from typing import NoReturn

from confo.errors import NotSupported


class Stranded:
    """Stands for a Confo or a Namespace of another process; whatever is asked of it raises NotSupported.

    It is not refused while it is unpickled, as that would end the worker of a pool instead of its task.
    """

    def __init__(self, shown: str) -> None:
        object.__setattr__(self, "_shown", shown)

    def __getattr__(self, name: str) -> NoReturn:
        """Say what to do."""
        if name.startswith("__") and name.endswith("__"):  # a probe of copy, pickle or inspect
            raise AttributeError(name)
        raise self._refusal()

    def __setattr__(self, name: str, value: object) -> None:
        """Say what to do."""
        raise self._refusal()

    def __getitem__(self, name: object) -> NoReturn:
        """Say what to do."""
        raise self._refusal()

    def __iter__(self) -> NoReturn:
        """Say what to do."""
        raise self._refusal()

    def __len__(self) -> int:
        """Say what to do."""
        raise self._refusal()

    def __bool__(self) -> bool:
        """Be true, as what it stands for."""
        return True

    def __contains__(self, name: object) -> bool:
        """Say what to do."""
        raise self._refusal()

    def __enter__(self) -> NoReturn:
        """Say what to do."""
        raise self._refusal()

    def __exit__(self, *raised: object) -> None:
        """Have nothing to end."""

    def __repr__(self) -> str:
        """Show what it stands for."""
        return f"<{self.__dict__['_shown'].strip('<>')}, of another process>"

    def __reduce__(self) -> tuple[object, ...]:
        """Travel on."""
        return stranded, (self.__dict__["_shown"],)

    def _refusal(self) -> NotSupported:
        return NotSupported(
            f"{self!r} came here by pickle, and threads and connections do not travel: pass the URL, and call "
            "confo.connect(url) or confo.open(url) in this process"
        )


def stranded(shown: str) -> Stranded:
    """Return what stands for an object that was shown like this in its own process."""
    return Stranded(shown)
