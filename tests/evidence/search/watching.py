"""Who follows a run in these tests."""

from __future__ import annotations

from amparo.known.exact import Hit


class Quiet:
    """Follows a run and keeps what it was told."""

    def __init__(self) -> None:
        self.problems: list[tuple[str, str | None, str]] = []
        self.matches: list[tuple[str, str]] = []

    def stage(self, name: str, files: int, size: int) -> None:
        """Nothing to show."""

    def advance(self, files: int, size: int) -> None:
        """Nothing to show."""

    def matched(self, path: str, hit: Hit) -> None:
        self.matches.append((path, hit.entry))

    def problem(self, stage: str, path: str | None, message: str) -> None:
        self.problems.append((stage, path, message))
