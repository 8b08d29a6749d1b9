"""How the demonstration tells what happens, in the user's language, and follows the search as its watcher."""

from __future__ import annotations

import sys
import tomllib
from functools import cache
from importlib.resources import files
from typing import Final

from amparo.errors import UsedWrongly
from amparo.known.hits import Hit
from amparo.terminal import visible
from amparo.translation import in_language

LANGUAGES: Final = ("pt", "en")
_LONGEST: Final = 90


@cache
def words(language: str) -> dict[str, str]:
    """The sentences of one language, by key. Raises UsedWrongly for one that the demonstration does not speak."""
    if language not in LANGUAGES:
        raise UsedWrongly(f'The demonstration does not speak "{language}": use one of {", ".join(LANGUAGES)}.')
    return tomllib.loads(files("amparo.demo").joinpath(f"words.{language}.toml").read_text(encoding="utf-8"))


def short(path: str) -> str:
    """A path as one line of at most 90 characters, its end kept."""
    text = visible(path)
    return text if len(text) <= _LONGEST else "…" + text[1 - _LONGEST :]


class Story:
    """Tells, sentence by sentence, on standard output; hears of every match as it is found."""

    def __init__(self, language: str) -> None:
        self._words, self._language = words(language), language

    def tell(self, sentence: str, /, **places: object) -> None:
        """One sentence, its places filled in."""
        text = self._words[sentence].format(**{name: str(value) for name, value in places.items()})
        print(text, file=sys.stdout, flush=True)  # noqa: T201

    def sentence(self, text: str) -> str:
        """A sentence of the search, in the language of the story."""
        return in_language(text, self._language)

    def stage(self, name: str, files: int, size: int) -> None:
        """The run is over in seconds: its stages are not told."""

    def advance(self, files: int, size: int) -> None:
        """Nor is its progress."""

    def matched(self, path: str, hit: Hit) -> None:
        """A known content was met."""
        self.tell("match", entry=hit.entry or "", method=hit.method, path=short(path))

    def problem(self, stage: str, path: str | None, message: str) -> None:
        """Told at the end, where the truth is known."""
