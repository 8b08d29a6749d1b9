"""The report as one HTML page that needs nothing else: no script, no picture, no address outside itself.

The page is written piece by piece, so a hundred thousand matches cost time but no memory. ``paper`` is the same page for
the PDF: its long lists are cut, and each says how much it leaves out and where that stands.
"""

from __future__ import annotations

import base64
import hashlib
import sqlite3
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from jinja2 import Environment, FunctionLoader, StrictUndefined, Template
from markupsafe import Markup, escape

import amparo
from amparo.evidence.report import statements
from amparo.evidence.report.facts import Facts, MatchedList
from amparo.evidence.report.rows import Match, contents, matches_of, problems_of
from amparo.evidence.report.wording import Words, has_right_to_left, shown
from amparo.terminal import visible
from amparo.translation import in_language

_BUFFER = 200  # pieces of the template joined in one
_VOLUMES = 200


class Bounds(NamedTuple):
    """How many rows of each list are shown at most, and how many characters of a path; None for all."""

    matches: int | None
    problems: int
    gathered: int | None
    path: int


WHOLE = Bounds(None, 1000, None, 40_000)
PAPER = Bounds(200, 20, 60, 600)


class Group(NamedTuple):
    """The matches of one list, as far as they are shown."""

    found: MatchedList
    rows: Iterator[Match]
    shown: int
    left: int


def template() -> Template:
    """The page, compiled; the same one every time."""
    return _environment().get_template("report.html")


def pieces(facts: Facts, database: sqlite3.Connection, words: Words, paper: bool) -> Iterator[str]:
    """The page's text in order, each piece to be written as UTF-8."""
    bounds = PAPER if paper else WHOLE
    style = _style(facts, words)
    stream = template().stream(
        f=facts,
        w=words,
        s=statements,
        paper=paper,
        bounds=bounds,
        version=facts.run.get("version") or amparo.__version__,
        style=Markup(style),  # noqa: S704 - ours
        style_digest=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
        groups=list(_groups(facts, database, bounds)),
        record=lambda match: record(match, words, bounds.path),
        path=lambda text: path_shown(text, words, bounds.path),
        sentence=lambda text: path_shown(in_language(str(text), words.language), words, bounds.path),
        problems_of=lambda stage: problems_of(database, stage, bounds.problems),
        contents=lambda: contents(database, bounds.gathered),
        most_volumes=_VOLUMES,
        recipients=[str(key) for key in facts.options.get("recipients") or ()],
    )
    stream.enable_buffering(_BUFFER)
    yield from stream


def record(match: Match, words: Words, longest: int) -> Markup:
    """One match: what it is, what the list says of it, where it lies, its digests."""
    claim = []
    if match.category is not None:
        claim.append(_tag("b", words("matches.in_category", category=match.category)))
    if match.entry is not None:
        claim.append(words("matches.entry", entry=match.entry))
    claim.append(_method(match, words))
    if match.gathered:
        claim.append(words("matches.gathered"))
    facts = [
        words.named("state_one", match.state),
        shown(match.mime or words("kind.unread")),
        words.size_exact(match.size),
    ]
    facts.append(words("matches.volume", n=match.volume) + words("value.list_join") + _place(match, words, longest))
    if match.modified:
        day, _, time = match.modified.removesuffix("Z").partition("T")
        facts.append(words("matches.modified", time=shown(day) + Markup("\u00a0") + shown(time)))
    name = words("matches.gone", id=match.file) if match.path is None else path_shown(match.path, words, longest)
    lines = [_tag("p", name, "path"), _tag("p", _DOT.join(claim)), _tag("p", _DOT.join(facts))]
    if match.contradicted:
        lines.append(_tag("p", words("matches.contradicted"), "warning"))
    if match.problem:
        lines.append(_tag("p", words("matches.problem", problem=in_language(match.problem, words.language))))
    digests = [
        _tag("span", Markup(label + "\u00a0") + shown(value))  # noqa: S704 - the label is ours
        for label, value in (("SHA-256", match.sha256), ("SHA-1", match.sha1), ("MD5", match.md5))
        if value
    ]
    if digests:
        lines.append(_tag("p", Markup(" ").join(digests), "digests"))
    return Markup("").join(lines)


def _tag(name: str, content: Markup, kind: str = "") -> Markup:
    """An element around what is HTML already: ``Markup.format`` would cost most of the time of a long report."""
    return Markup(f'<{name} class="{kind}">{content}</{name}>' if kind else f"<{name}>{content}</{name}>")  # noqa: S704


def path_shown(text: str | None, words: Words, longest: int) -> Markup:
    """A path that reads in its own order: controls are escaped, and a part written from right to left stays in its place."""
    if text is None:
        return words("value.none")
    cut = Markup()
    if len(text) > longest:
        cut = words("matches.cut", n=len(text) - longest)
        text = text[:longest]
    text = visible(text)
    if not has_right_to_left(text):
        return escape(text) + cut
    return Markup("/").join(Markup("<bdi>{}</bdi>").format(part) for part in text.split("/")) + cut


def _groups(facts: Facts, database: sqlite3.Connection, bounds: Bounds) -> Iterator[Group]:
    for found, most in zip(
        facts.matched, _shares([found.rows for found in facts.matched], bounds.matches), strict=True
    ):
        yield Group(found, matches_of(database, found.name, most), most, found.rows - most)


def _shares(sizes: list[int], most: int | None) -> list[int]:
    """How many rows each list may show, so that no list is crowded out by another."""
    if most is None or sum(sizes) <= most:
        return sizes
    shares = [0] * len(sizes)
    left = most
    waiting = sorted(range(len(sizes)), key=lambda number: sizes[number])
    while waiting:
        number = waiting.pop(0)
        shares[number] = min(sizes[number], left // (len(waiting) + 1))
        left -= shares[number]
    return shares


def _method(match: Match, words: Words) -> Markup:
    name = _METHODS.get(match.method, match.method)
    if match.method not in ("pdq", "vpdq"):
        return words("matches.exact", method=name)
    similar = words("matches.similar", method=name, distance=match.distance)
    if match.quality is None:
        return similar
    return similar + words("value.list_join") + words("matches.quality", quality=match.quality)


def _place(match: Match, words: Words, longest: int) -> Markup:
    if match.place is None:
        place = words("matches.no_place")
    elif match.place.extents == 1:
        place = words("matches.at", offset=match.place.offset)
    else:
        place = words("matches.at_runs", offset=match.place.offset, n=match.place.extents)
    if not match.holders:
        return place
    chain = [match.holders[0]]
    for outer, inner in zip(match.holders, match.holders[1:], strict=False):
        chain.append(inner.removeprefix(outer + "/"))
    outermost, *rest = (path_shown(part, words, longest) for part in chain)
    held = Markup(" › ").join([words("matches.holder_at", path=outermost, place=place), *rest])
    return words("matches.inside", holder=held)


_DOT = Markup(" · ")
_METHODS = {"md5": "MD5", "sha1": "SHA-1", "sha256": "SHA-256", "pdq": "PDQ", "vpdq": "vPDQ"}


def _style(facts: Facts, words: Words) -> str:
    """The style sheet with the few words that stand in it: the page's number, and the marks of training."""
    page, pages = Markup('" counter(page) "'), Markup('" counter(pages) "')
    said = {
        "PAGE_OF_PAGES": words("meta.page", page=page, pages=pages),
        "TRAINING_HEADER": words("training.header") if facts.training else "",
        "TRAINING_MARK": words("training.mark"),
    }
    style = _read("report.css")
    for place, text in said.items():
        style = style.replace(place, f'"{text}"')
    return style


@cache
def _environment() -> Environment:
    def finalize(value: Any) -> Any:
        return shown(value) if value is not None else Markup()

    return Environment(
        loader=FunctionLoader(_read), autoescape=True, undefined=StrictUndefined, finalize=finalize, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip


def _read(name: str) -> str:
    return files(__package__).joinpath(name).read_text("utf-8")
