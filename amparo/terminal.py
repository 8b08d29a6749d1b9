"""How a long run shows itself: a bar on a terminal, plain lines elsewhere; a match is told at once."""

from __future__ import annotations

import sys
import time

from amparo.known.exact import Hit

_STAGES = {
    "survey": "Looking for volumes",
    "list": "Listing files",
    "read": "Reading files",
    "carve": "Searching free space",
    "gather": "Gathering contents",
    "confirm": "Confirming that the source is unchanged",
}
_MOST_PROBLEMS = 20


def visible(text: str) -> str:
    """A name that cannot move the cursor or turn the text around."""
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)


class Terminal:
    """Follows a run on standard error; matches go to standard output, so that they can be piped on."""

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self._bar = sys.stderr.isatty() and not quiet
        self._stage, self._files, self._size = "", 0, 0
        self._done_files = self._done_size = 0
        self._began = self._last = time.monotonic()
        self._problems = 0
        self.matches = 0

    def stage(self, name: str, files: int, size: int) -> None:
        self.finish()
        self._stage, self._files, self._size = _STAGES.get(name, name), files, size
        self._done_files = self._done_size = 0
        self._began = self._last = time.monotonic()
        if not self.quiet:
            detail = f": {files:,} files, {size / 1e6:,.0f} MB" if files else f": {size / 1e6:,.0f} MB" if size else ""
            print(f"{self._stage}{detail}", file=sys.stderr, flush=True)  # noqa: T201

    def advance(self, files: int, size: int) -> None:
        self._done_files += files
        self._done_size += size
        now = time.monotonic()
        if self.quiet or now - self._last < (0.2 if self._bar else 10):
            return
        self._last = now
        share = self._done_size / self._size if self._size else 0.0
        rate = self._done_size / max(now - self._began, 1e-9)
        left = (self._size - self._done_size) / rate if rate and self._size else 0
        line = f"  {self._done_files:,} files  {share:4.0%}  {rate / 1e6:,.0f} MB/s  {_time_left(left)}"
        print(f"\r{line}\x1b[K" if self._bar else line, end="" if self._bar else "\n", file=sys.stderr, flush=True)  # noqa: T201

    def matched(self, path: str, hit: Hit) -> None:
        self.matches += 1
        self._clear()
        if not self.quiet:
            category = f" category {hit.category}" if hit.category else ""
            print(f"MATCH  {visible(hit.list)}{visible(category)}  {hit.method}  {visible(path)}", flush=True)  # noqa: T201

    def problem(self, stage: str, path: str | None, message: str) -> None:
        self._problems += 1
        if self.quiet or self._problems > _MOST_PROBLEMS:
            return
        self._clear()
        place = f"{visible(path)}: " if path else ""
        print(f"  not read: {place}{visible(message)}", file=sys.stderr, flush=True)  # noqa: T201
        if self._problems == _MOST_PROBLEMS:
            print("  further ones are only in the report", file=sys.stderr, flush=True)  # noqa: T201

    def finish(self) -> None:
        """Leave the cursor on a clean line."""
        self._clear()

    def _clear(self) -> None:
        if self._bar:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)  # noqa: T201


def _time_left(seconds: float) -> str:
    if seconds < 1:
        return ""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"about {hours} h {minutes:02} min left"
        if hours
        else f"about {minutes} min left"
        if minutes
        else f"about {rest} s left"
    )
