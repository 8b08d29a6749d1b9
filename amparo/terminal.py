"""How a long run shows itself: a bar on a terminal, plain lines elsewhere; a match is told at once."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

from amparo.language import counted, number, said, words
from amparo.translation import here

if TYPE_CHECKING:
    from amparo.known.hits import Hit

_MOST_PROBLEMS = 20


def visible(text: str) -> str:
    """A name that cannot move the cursor or turn the text around."""
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)


def tell(text: str, to: TextIO | None = None, end: str = "\n") -> None:
    """One line on standard output, or on ``to``. Where whoever read it has gone (``| head``), the work goes on unheard."""
    stream = sys.stdout if to is None else to
    try:
        print(text, file=stream, end=end, flush=True)
    except OSError:
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)


class Terminal:
    """Follows a run on standard error; matches go to standard output, so that they can be piped on.

    ``opening`` is called once, when the run begins: a run that is refused before that says only why.
    """

    def __init__(self, quiet: bool = False, opening: Callable[[], None] | None = None) -> None:
        self.quiet, self._opening = quiet, opening
        self._bar = sys.stderr is not None and sys.stderr.isatty() and not quiet
        self._stage, self._files, self._size = "", 0, 0
        self._done_files = self._done_size = 0
        self._began = self._last = time.monotonic()
        self._problems = 0
        self.matches = 0

    def stage(self, name: str, files: int, size: int) -> None:
        """A stage begins that will go through so many files and bytes; 0 where that is not known."""
        opening, self._opening = self._opening, None
        if opening is not None:
            opening()
        self.finish()
        self._stage, self._files, self._size = (said(name) if name in words("en") else name), files, size
        self._done_files = self._done_size = 0
        self._began = self._last = time.monotonic()
        if not self.quiet:
            amounts = [counted("of_files", files)] if files else []
            amounts += [amount(size)] if size else []
            tell(f"{self._stage}{': ' if amounts else ''}{', '.join(amounts)}", sys.stderr)

    def advance(self, files: int, size: int) -> None:
        """So many more are done."""
        self._done_files += files
        self._done_size += size
        now = time.monotonic()
        if self.quiet or now - self._last < (0.2 if self._bar else 10):
            return
        self._last = now
        share = min(self._done_size / self._size, 1.0) if self._size else 0.0
        rate = self._done_size / max(now - self._began, 1e-9)
        left = (self._size - self._done_size) / rate if rate and self._size else 0
        done = counted("of_files", self._done_files)
        line = f"  {done}  {share:4.0%}  {amount(rate)}/s  {_time_left(left)}".rstrip()
        tell(f"\r{line}\x1b[K" if self._bar else line, sys.stderr, end="" if self._bar else "\n")

    def matched(self, path: str, hit: Hit) -> None:
        """A known content was met at ``path``."""
        self.matches += 1
        self._clear()
        if not self.quiet:
            category = f" {said('category')} {hit.category}" if hit.category else ""
            tell(f"{said('match')}  {visible(hit.list)}{visible(category)}  {hit.method}  {visible(path)}")

    def problem(self, stage: str, path: str | None, message: str) -> None:
        """Something could not be read; after the twentieth only the report tells."""
        self._problems += 1
        if self.quiet or self._problems > _MOST_PROBLEMS:
            return
        self._clear()
        place = f"{visible(path)}: " if path else ""
        tell(f"  {said('not_read')}: {place}{visible(here(message))}", sys.stderr)
        if self._problems == _MOST_PROBLEMS:
            tell(f"  {said('only_in_report')}", sys.stderr)

    def finish(self) -> None:
        """Leave the cursor on a clean line."""
        self._clear()

    def _clear(self) -> None:
        if self._bar:
            tell("\r\x1b[K", sys.stderr, end="")


def amount(size: float) -> str:
    """Bytes in the largest unit of which there are at least ten."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= 10 * scale:
            return f"{number(round(size / scale))} {unit}"
    return f"{number(round(size))} B"


def _time_left(seconds: float) -> str:
    if seconds < 1:
        return ""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return said("hours_left", hours=hours, minutes=f"{minutes:02}")
    return said("minutes_left", minutes=minutes) if minutes else said("seconds_left", seconds=rest)
