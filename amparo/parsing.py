"""How what was typed after ``amparo`` is read: a parser that speaks the user's language, and the kinds of value it takes."""

from __future__ import annotations

import argparse
import copy
import re
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from math import isfinite
from pathlib import Path
from typing import Any, NoReturn

from amparo.errors import UsedWrongly
from amparo.language import said
from amparo.translation import here

MOST_WORKERS = 1024
MOST_RADIUS = 128

# What argparse says, and the sentence that says it in the user's language; what is not here is said as argparse does.
_SENTENCES = {
    "lacking": re.compile(r"the following arguments are required: (?P<what>.+)", re.DOTALL),
    "not_understood": re.compile(r"unrecognized arguments: (?P<what>.+)", re.DOTALL),
    "needs_value": re.compile(r"argument (?P<what>\S+): expected one argument"),
    "no_such_choice": re.compile(
        r"argument (?P<what>\S+): invalid choice: (?P<given>.+) \(choose from (?P<known>.+)\)", re.DOTALL
    ),
    "argument": re.compile(r"argument (?P<what>\S+): (?P<why>.+)", re.DOTALL),
}


def _in_words(message: str) -> str:
    for key, pattern in _SENTENCES.items():
        if found := pattern.fullmatch(message):
            places = {name: text.replace("'", "") for name, text in found.groupdict().items()}
            if key != "not_understood":  # that is what was typed, not a name of ours
                places["what"] = ", ".join(here(name) for name in places["what"].split(", "))
            return said(key, **places)
    return f"{message[:1].upper()}{message[1:]}."


class _Help(argparse.HelpFormatter):
    """Help in the language of the terminal. The parsers keep the English, which a test holds the documentation against."""

    def add_usage(self, usage: Any, actions: Iterable[argparse.Action], groups: Any, prefix: str | None = None) -> None:
        super().add_usage(
            usage, [_translated(action) for action in actions], groups, here("usage: ") if prefix is None else prefix
        )

    def start_section(self, heading: str | None) -> None:
        super().start_section(here(heading or ""))

    def add_text(self, text: str | None) -> None:
        super().add_text(here(text) if text else text)

    def add_argument(self, action: argparse.Action) -> None:
        super().add_argument(_translated(action))


def _translated(action: argparse.Action) -> argparse.Action:
    shown = copy.copy(action)
    shown.help = here(action.help) if action.help else action.help
    shown.metavar = here(action.metavar) if isinstance(action.metavar, str) else action.metavar
    if isinstance(shown, argparse._SubParsersAction):
        shown._choices_actions = [_translated(choice) for choice in shown._choices_actions]
    return shown


class Parser(argparse.ArgumentParser):
    """Raises :class:`~amparo.errors.UsedWrongly`, naming what was probably meant, where argparse would print and exit.

    Options are never abbreviated: one that is added later must not change what a script means.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"allow_abbrev": False, "formatter_class": _Help, **settings})
        self.typed: Sequence[str] = ()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse's; what was typed is kept for :meth:`error`."""
        self.typed = list(args) if args is not None else ()
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Raise what ``message`` says in one line, with what was probably meant and where help is."""
        parser = self._spoken_to()
        meant = [near for word in parser.typed for near in parser.near(word)]
        hint = said("meant", word=meant[0]) if meant else ""
        raise UsedWrongly(f"{_in_words(message)} {hint}{said('see_help', program=parser.prog)}")

    def commands(self) -> dict[str, Parser]:
        """The parsers of the commands below this one, by name."""
        below = (action.choices for action in self._actions if isinstance(action, argparse._SubParsersAction))
        return {name: parser for choices in below for name, parser in choices.items()}

    def options(self) -> tuple[str, ...]:
        """Every option that is written in full, as it is typed."""
        return tuple(name for name in self._option_string_actions if name.startswith("--"))

    def near(self, word: str) -> Iterable[str]:
        """What this parser knows and ``word``, which it does not know, was probably meant to be."""
        names = list(self.options()) if word.startswith("--") else list(self.commands())
        bare = word.split("=", 1)[0]
        return [] if bare in names else get_close_matches(bare, names, n=1, cutoff=0.7)

    def _spoken_to(self) -> Parser:
        """The parser of the command that was typed; options that it does not know are reported by the one above it."""
        commands = self.commands()
        below = next((commands[word] for word in self.typed if word in commands), None)
        if below is None:
            return self
        below.typed = below.typed or self.typed
        return below._spoken_to() if below.commands() else below


def a_path(text: str) -> Path:
    """A path of the file system; an empty one, as an unset variable of a shell gives, would mean the current folder."""
    if not text or "\0" in text:
        raise argparse.ArgumentTypeError(said("empty_path"))
    return Path(text)


def a_place(text: str) -> str:
    """A path, or the address of a bucket, as it is typed."""
    return text if text.startswith("s3://") else str(a_path(text))


def a_count(text: str) -> int:
    """A whole number of processes."""
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= MOST_WORKERS:
        raise argparse.ArgumentTypeError(said("whole_number", most=MOST_WORKERS))
    return int(text)


def seconds(text: str) -> float:
    """A time of more than 0 seconds."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not isfinite(value) or value <= 0:
        raise argparse.ArgumentTypeError(said("some_seconds"))
    return value


def a_radius(text: str) -> int:
    """A distance between fingerprints, in bits."""
    if not text.isascii() or not text.isdigit() or not 0 <= int(text[:4]) <= MOST_RADIUS:
        raise argparse.ArgumentTypeError(said("whole_number_from", least=0, most=MOST_RADIUS))
    return int(text)


def between(least: int, most: int) -> Callable[[str], int]:
    """What reads a whole number of this range."""

    def read(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not least <= int(text[:18]) <= most:
            raise argparse.ArgumentTypeError(said("whole_number_from", least=least, most=most))
        return int(text)

    return read
