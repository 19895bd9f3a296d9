"""What is wrong with a file's text: where, and why, without a value."""

from __future__ import annotations


class Problem(ValueError):
    """A text that is no document; ``line`` and ``column`` count from 1, 0 where nobody can tell."""

    def __init__(self, reason: str, line: int = 0, column: int = 0) -> None:
        super().__init__(reason)
        self.reason, self.line, self.column = reason, line, column

    def __str__(self) -> str:
        """Return the place in the file and the reason."""
        if not self.line:
            return self.reason
        return f"line {self.line}{f' column {self.column}' if self.column else ''}: {self.reason}"


def at(text: str, position: int, reason: str) -> Problem:
    """Return the problem at a position of a text."""
    before = text[:position]
    return Problem(reason, before.count("\n") + 1, position - before.rfind("\n"))
