"""The words of the terminal, in Portuguese and English. The report has words of its own, and ``--language`` chooses those.

``AMPARO_LANGUAGE`` chooses (``pt`` or ``en``); without it the first of ``LC_ALL``, ``LC_MESSAGES`` and ``LANG`` that is set,
which is Portuguese where it begins with ``pt``; else English. What programs read (``--json``) is in neither.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Final

LANGUAGES: Final = ("en", "pt")


def chosen(environment: Mapping[str, str] | None = None) -> str:
    """The language of the terminal, one of :data:`LANGUAGES`."""
    environment = os.environ if environment is None else environment
    asked = environment.get("AMPARO_LANGUAGE", "").strip().lower()
    if asked[:2] in LANGUAGES:
        return asked[:2]
    locale = next((value for name in ("LC_ALL", "LC_MESSAGES", "LANG") if (value := environment.get(name))), "")
    return "pt" if locale.lower().split(".")[0].split("_")[0] == "pt" else "en"


@cache
def words(language: str) -> dict[str, str]:
    """Every sentence in one of :data:`LANGUAGES`, by its key; ``{places}`` are filled in."""
    return tomllib.loads(files("amparo").joinpath(f"words.{language}.toml").read_text(encoding="utf-8"))


def said(key: str, /, **places: object) -> str:
    """A sentence in the language of the terminal, with its places filled in; whole numbers are grouped as it groups them."""
    language = chosen()
    shown = {name: number(value) if type(value) is int else value for name, value in places.items()}
    return words(language)[key].format(**shown)


def counted(key: str, count: int) -> str:
    """``key_one`` where ``count`` is 1, else ``key_many``, with ``{count}`` filled in."""
    return said(f"{key}_one" if count == 1 else f"{key}_many", count=count)


def number(value: int, language: str | None = None) -> str:
    """A whole number in groups of three, in the terminal's language where none is named: 12,345 in English; 12 345 in
    Portuguese, where four digits stay together."""
    if (language or chosen()) == "en":
        return f"{value:,}"
    return str(value) if value < 10_000 else f"{value:,}".replace(",", " ")
