"""Who is told how a run goes: the terminal, a program, or nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from amparo.known.hits import Hit


class Watcher(Protocol):
    """Who is told how the run goes: the terminal, or nobody."""

    def stage(self, name: str, files: int, size: int) -> None: ...

    def advance(self, files: int, size: int) -> None: ...

    def matched(self, path: str, hit: Hit) -> None: ...

    def problem(self, stage: str, path: str | None, message: str) -> None: ...
