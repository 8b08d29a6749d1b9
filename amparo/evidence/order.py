"""The order at the door: the file that says why a search is lawful, read strictly, and asked before anything else is.

The file is TOML, written by an officer from the paper order; :data:`EXAMPLE` is a complete one. What the law says about
the measure it names comes from :mod:`amparo.law`; this module only holds the file against it. Nothing here reads the
source, and nothing may read the source before :meth:`Order.require` has returned.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Any

from amparo.errors import NotAllowed, OrderExpired, OrderInvalid, UsedWrongly
from amparo.law.bodies import Body, authority
from amparo.law.counting import last_day, law_day
from amparo.law.measures import ACTS, Measure, measure, measures_authorising
from amparo.law.tables import spoken

LARGEST = 1 << 16  # bytes; an order is a page of text, and tomllib needs minutes for a hostile megabyte
MOST_WARNINGS = 20
LONGEST = 2000  # characters in one field
FIRST_YEAR, LAST_YEAR = 1990, 2200  # outside these a date is a typing slip

# Every field of the file, with an example an officer can copy.
FIELDS: dict[str, dict[str, str]] = {
    "order": {
        "measure": '"search"',
        "reference": '"Despacho 14/2026"',
        "issued_by": '"Procuradora da República, DIAP de Exemplo"',
        "authority": '"judicial_authority"',
        "issued_on": "2026-11-20",
        "able_to_search_on": "2026-11-23",
    },
    "case": {"number": '"123/26.0JAEXP"'},
    "exhibit": {"number": '"AP-7"', "description": '"Portable computer, serial 5CD1234"'},
    "examiner": {"name": '"Ana Exemplo"', "agency": '"Polícia de Exemplo"'},
}
OPTIONAL = {("order", "able_to_search_on")}
CASE_NUMBER = re.compile(r"\d{1,6}/\d\d\.\d[A-Z]{5}")


def example(day: date) -> str:
    """The text of a complete training order issued on ``day``: what a demonstration uses, and what an officer copies."""
    values = {(table, key): value for table, keys in FIELDS.items() for key, value in keys.items()}
    values["order", "issued_on"] = day.isoformat()
    lines = ["training = true   # false for a real order; a training package can never be filed as evidence"]
    for table, keys in FIELDS.items():
        lines.append(f"[{table}]")
        for key in keys:
            comment = "# optional, the days count from here: " if (table, key) in OPTIONAL else ""
            lines.append(f"{comment}{key} = {values[table, key]}")
    return "\n".join(lines) + "\n"


EXAMPLE: str = example(date(2026, 11, 20))


@dataclass(frozen=True)
class Order:
    """An order as its file states it. ``digest`` is the SHA-256, in lower hex, of the file's bytes; ``warnings`` are
    sentences on what the file holds that nothing reads or that looks wrong. Made by :func:`read_order`."""

    training: bool
    measure: str
    reference: str
    issued_by: str
    authority: str
    issued_on: date
    able_to_search_on: date | None
    case_number: str
    exhibit_number: str
    exhibit_description: str
    examiner_name: str
    examiner_agency: str
    digest: str
    warnings: tuple[str, ...] = ()

    @property
    def law(self) -> Measure:
        """The measure as it was law on the day of the order."""
        return measure(self.measure, on=self.issued_on)

    @property
    def counts_from(self) -> date:
        """The day the order's days count from: ``able_to_search_on`` where the law counts from the day the police can
        search (jurisprudencia.pt/acordao/232313) and the file gives it, else the day of the order."""
        if self.law.counts_from == "able_to_search" and self.able_to_search_on:
            return self.able_to_search_on
        return self.issued_on

    @property
    def in_force_from(self) -> date:
        """The first day on which the order can be used."""
        return max(self.issued_on, self.counts_from)

    @property
    def lapses_on(self) -> date | None:
        """The last day of the order, to its midnight in Lisbon; None where the law sets no term."""
        term = self.law.valid_for
        return last_day(self.counts_from, term) if term else None

    def require(self, act: str, now: datetime) -> None:
        """Returns only where the order allows ``act`` (a key of :data:`amparo.law.measures.ACTS`) at ``now`` (aware).

        Raises NotAllowed where the measure does not authorise the act, or the police acted in urgency and nobody
        validated it; OrderExpired where the order lapsed or is not yet in force; UsedWrongly for an unknown act.
        """
        names = f"{self.law.order_en} {self.reference}"
        lawful = measures_authorising(act)
        if act not in self.law.authorises:
            right = lawful[0]
            raise NotAllowed(
                f"{names} does not authorise {ACTS[act]}; ask {_whom(right)} for one under {right.article} ({right.name_en})."
            )
        if not self.law.may_be_ordered_by(authority(self.authority)):
            raise NotAllowed(
                f"{names} is an act of the police in urgency, which authorises nothing more until it is validated; ask"
                f" {_whom(self.law)} to validate it, and give that decision as the order."
            )
        today = law_day(now)
        if today < self.issued_on:
            raise OrderExpired(
                f"{names} is dated {spoken(self.issued_on)}, a day still to come; check the date in the order and this"
                " computer's clock."
            )
        if today < self.in_force_from:
            raise OrderExpired(
                f"{names} can be used from {spoken(self.in_force_from)} only; begin that day, or correct able_to_search_on."
            )
        if self.lapses_on and today > self.lapses_on:
            raise OrderExpired(f"{names} lapsed on {spoken(self.lapses_on)}; ask {_whom(self.law)} for a new one.")

    def lapses_soon(self, now: datetime, days: int) -> date | None:
        """The last day of the order where it is at most ``days`` days away at ``now`` (0: today is the last day); None
        where it is further away, has passed, or the law sets no term."""
        last = self.lapses_on
        return last if last and 0 <= (last - law_day(now)).days <= days else None

    def as_dict(self) -> dict[str, Any]:
        """Everything above as JSON can hold it, with the article and whether a jurist confirmed its row: for the ``run``
        table and the CASE Authorization."""
        return {
            "training": self.training,
            "measure": self.measure,
            "article": self.law.article,
            "confirmed_by_jurist": self.law.checked,
            "reference": self.reference,
            "issued_by": self.issued_by,
            "authority": self.authority,
            "issued_on": self.issued_on.isoformat(),
            "able_to_search_on": self.able_to_search_on.isoformat() if self.able_to_search_on else None,
            "lapses_on": self.lapses_on.isoformat() if self.lapses_on else None,
            "case_number": self.case_number,
            "exhibit_number": self.exhibit_number,
            "exhibit_description": self.exhibit_description,
            "examiner_name": self.examiner_name,
            "examiner_agency": self.examiner_agency,
            "sha256": self.digest,
            "warnings": list(self.warnings),
        }


def read_order(path: Path) -> Order:
    """The order in a file. Raises OrderInvalid, in one sentence that names the field and gives an example, where the
    file is absent, is no TOML, lacks or mistypes a field, names an unknown measure or authority, or an authority that
    cannot order the measure. Keys that nothing reads become warnings. A byte order mark, CRLF, and dates written as
    strings are read."""
    raw = _bytes_of(path)
    name = path.name
    document = _document(raw, name)
    training = _training(document, name)
    texts = {
        (table, key): _text(document, table, key, name)
        for table, keys in FIELDS.items()
        for key in keys
        if not key.endswith("_on")
    }
    issued_on = _day(document, "order", "issued_on", name)
    if issued_on is None:
        raise _missing(name, "order", "issued_on")
    able = _day(document, "order", "able_to_search_on", name)
    if able and able < issued_on:
        raise OrderInvalid(
            f"{name}: able_to_search_on ({spoken(able)}) comes before issued_on ({spoken(issued_on)}); the days count"
            " from the order at the earliest, so correct it or leave it out."
        )
    law, body = _law(texts["order", "measure"].lower(), texts["order", "authority"].lower(), issued_on, name)
    order = Order(
        training=training,
        measure=law.key,
        reference=texts["order", "reference"],
        issued_by=texts["order", "issued_by"],
        authority=body.key,
        issued_on=issued_on,
        able_to_search_on=able,
        case_number=texts["case", "number"],
        exhibit_number=texts["exhibit", "number"],
        exhibit_description=texts["exhibit", "description"],
        examiner_name=texts["examiner", "name"],
        examiner_agency=texts["examiner", "agency"],
        digest=hashlib.sha256(raw).hexdigest(),
    )
    return Order(**{**vars(order), "warnings": tuple(islice(_warnings(document, order, name), MOST_WARNINGS))})


def _bytes_of(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise OrderInvalid(
                f"There is no order file at {path}; write one from the paper order and give it with --order."
            )
        with path.open("rb") as file:
            raw = file.read(LARGEST + 1)
    except (OSError, ValueError) as error:  # ValueError: a path that no file can have
        why = getattr(error, "strerror", None) or error
        raise OrderInvalid(f"The order {path} cannot be read ({why}); check the path and your rights to it.") from error
    if len(raw) > LARGEST:
        raise OrderInvalid(f"{path.name} is too large to be an order; give the TOML file written from the paper order.")
    return raw


def _document(raw: bytes, name: str) -> dict[str, Any]:
    try:
        return tomllib.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise OrderInvalid(f"{name} is not UTF-8 text; open it in an editor and save it as UTF-8.") from error
    except RecursionError as error:
        raise OrderInvalid(f"{name} is not an order; write one from the paper order.") from error
    except ValueError as error:  # tomllib's own error is a ValueError, and so is a number of too many digits
        said = " ".join(str(error).split())[:200]
        raise OrderInvalid(
            f"{name} is not written as an order ({said}); texts stand in quotes and dates are written 2026-11-20, for"
            ' example reference = "Despacho 14/2026".'
        ) from error


def _training(document: dict[str, Any], name: str) -> bool:
    for table in FIELDS:
        if isinstance(document.get(table), dict) and "training" in document[table]:
            # TOML gives a key to the table above it: taken as absent, a training order would pass for a real one.
            raise OrderInvalid(
                f'{name}: "training" stands inside [{table}]; move it to the first line, for example training = true.'
            )
    for key in document.keys() - FIELDS.keys() - {"training"}:
        if get_close_matches(key.casefold(), ["training"]):
            raise OrderInvalid(f'{name}: "{key}" looks like a slip for "training"; write for example training = true.')
    training = document.get("training", False)
    if not isinstance(training, bool):
        raise OrderInvalid(f'{name}: "training" must be true or false without quotes, for example training = true.')
    return training


def _value(document: dict[str, Any], table: str, key: str, name: str) -> object:
    section = document.get(table, {})
    if not isinstance(section, dict):
        raise OrderInvalid(
            f"{name}: [{table}] must be a heading with its fields below it, for example [{table}] and {_line(table, key)}."
        )
    return section.get(key)


def _text(document: dict[str, Any], table: str, key: str, name: str) -> str:
    value = _value(document, table, key, name)
    if value is None:
        raise _missing(name, table, key)
    if not isinstance(value, str):
        raise OrderInvalid(f'{name}: "{key}" in [{table}] must be text in quotes, for example {_line(table, key)}.')
    text = " ".join(value.split())
    if not text:
        raise OrderInvalid(f'{name}: "{key}" in [{table}] is empty; fill it in, for example {_line(table, key)}.')
    if len(text) > LONGEST or not text.isprintable():
        raise OrderInvalid(
            f'{name}: "{key}" in [{table}] is too long or holds control characters; write it again, for example {_line(table, key)}.'
        )
    return text


def _day(document: dict[str, Any], table: str, key: str, name: str) -> date | None:
    value = _value(document, table, key, name)
    if value is None:
        return None
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value.strip(), re.ASCII):
        try:
            value = date.fromisoformat(value.strip())
        except ValueError:
            value = None
    elif isinstance(value, datetime):
        try:
            value = law_day(value) if value.tzinfo else value.date()
        except OverflowError:
            value = None
    if not isinstance(value, date) or not FIRST_YEAR <= value.year <= LAST_YEAR:
        raise OrderInvalid(f'{name}: "{key}" in [{table}] must be a date, year first, for example {_line(table, key)}.')
    return value


def _law(key: str, who: str, issued_on: date, name: str) -> tuple[Measure, Body]:
    try:
        law = measure(key, on=issued_on)
    except UsedWrongly as error:
        raise OrderInvalid(f'{name}: "measure" in [order]: {error}') from error
    try:
        body = authority(who)
    except UsedWrongly as error:
        raise OrderInvalid(f'{name}: "authority" in [order]: {error}') from error
    if not law.ordered_by:
        raise OrderInvalid(
            f'{name}: "measure" in [order] is {key}, which nobody orders directly; name the national measure that carries'
            f' it, for example measure = "{law.through[0]}".'
        )
    if not (law.may_be_ordered_by(body) or law.may_be_urgent_by(body)):
        raise OrderInvalid(
            f'{name}: "authority" in [order] is {who}, but {law.article} ({law.name_en}) asks for'
            f" {' or '.join(authority(by).name_en for by in law.ordered_by)}; correct it, for example authority ="
            f' "{law.ordered_by[0]}", or ask {_whom(law)} for an order.'
        )
    return law, body


def _warnings(document: dict[str, Any], order: Order, name: str) -> Iterator[str]:
    for table, section in document.items():
        if table in FIELDS and isinstance(section, dict):
            for key in section:
                if key not in FIELDS[table]:
                    yield f'{name}: nothing reads "{key}" in [{table}]; check its spelling.'
        elif table != "training":
            yield f'{name}: nothing reads "{table}"; check its spelling.'
    if not CASE_NUMBER.fullmatch(order.case_number):
        yield f'{name}: the case number "{order.case_number}" is not written as 123/26.0JAEXP; check it.'
    if order.counts_from > last_day(order.issued_on, order.law.valid_for) if order.law.valid_for else False:
        yield (
            f"{name}: the days of this order count from {spoken(order.counts_from)}, long after it was issued on"
            f" {spoken(order.issued_on)}; be ready to show why no search was possible before."
        )


def _whom(law: Measure) -> str:
    return authority(law.ordered_by[0]).ask_en


def _line(table: str, key: str) -> str:
    return f"{key} = {FIELDS[table][key]}"


def _missing(name: str, table: str, key: str) -> OrderInvalid:
    return OrderInvalid(f'{name}: "{key}" in [{table}] is missing; add it, for example {_line(table, key)}.')
