"""The order at the door: a file is an order or one sentence says what is wrong with it, and its days are kept to the second."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amparo.errors import NotAllowed, OrderInvalid
from amparo.evidence.order import EXAMPLE, FIELDS, OPTIONAL, Order, example, read_order

LISBON = ZoneInfo("Europe/Lisbon")
NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
CONTRACT = """\
training = false                       # true: the package is marked TRAINING everywhere and can never be filed as evidence
[order]
measure   = "search"                   # a key of amparo/law
reference = "Despacho 14/2026"
issued_by = "Procuradora da República, DIAP de Lisboa"
authority = "judicial_authority"
issued_on = 2026-11-20
able_to_search_on = 2026-11-23         # optional; the 30 days count from here
[case]
number = "123/26.0JALSB"
[exhibit]
number = "AP-7"
description = "Portable computer, serial 5CD1234"
[examiner]
name = "…"
agency = "…"
"""
REQUIRED = [(table, key) for table, keys in FIELDS.items() for key in keys if (table, key) not in OPTIONAL]

Written = Callable[[str | bytes], Path]


@pytest.fixture
def written(tmp_path: Path) -> Written:
    def write(content: str | bytes) -> Path:
        path = tmp_path / "ordem.toml"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def changed(**values: str | None) -> str:
    """The contract's order with fields given another value as TOML writes it, or left out (None)."""
    lines = []
    for line in CONTRACT.splitlines():
        key = line.split("=")[0].strip()
        if key not in values:
            lines.append(line)
        elif values[key] is not None:
            lines.append(f"{key} = {values[key]}")
    return "\n".join(lines) + "\n"


def without(table: str, key: str) -> str:
    section, lines = "", []
    for line in CONTRACT.splitlines():
        section = line if line.startswith("[") else section
        if not (section == f"[{table}]" and line.split("=")[0].strip() == key):
            lines.append(line)
    return "\n".join(lines)


def one_sentence(error: BaseException) -> str:
    said = str(error)
    assert "\n" not in said and said.endswith(".") and "Traceback" not in said and len(said) < 700, said
    return said


def refusal(path: Path) -> str:
    with pytest.raises(OrderInvalid) as caught:
        read_order(path)
    assert caught.value.exit_code == 3
    return one_sentence(caught.value)


def not_allowed(order: Order, now: datetime, act: str = "search") -> str:
    with pytest.raises(NotAllowed) as caught:
        order.require(act, now)
    return one_sentence(caught.value)


# The file ---------------------------------------------------------------------------------------------------------


def test_the_order_of_the_contract_is_read_field_by_field(written: Written):
    order = read_order(written(CONTRACT))
    assert (order.training, order.measure, order.reference) == (False, "search", "Despacho 14/2026")
    assert (order.issued_by, order.authority) == ("Procuradora da República, DIAP de Lisboa", "judicial_authority")
    assert (order.issued_on, order.able_to_search_on) == (date(2026, 11, 20), date(2026, 11, 23))
    assert (order.case_number, order.exhibit_number) == ("123/26.0JALSB", "AP-7")
    assert order.exhibit_description == "Portable computer, serial 5CD1234"
    assert (order.examiner_name, order.examiner_agency) == ("…", "…")
    assert order.digest == hashlib.sha256(CONTRACT.encode()).hexdigest()
    assert order.warnings == ()
    order.require("search", NOON)
    order.require("gather", NOON)


def test_the_example_that_is_printed_is_itself_a_training_order(written: Written):
    order = read_order(written(EXAMPLE))
    assert order.training and order.warnings == () and order.able_to_search_on is None
    read_order(written(example(date(2026, 7, 1)))).require("search", datetime(2026, 7, 1, 12, tzinfo=UTC))


def test_an_order_without_the_word_training_is_a_real_one(written: Written):
    assert read_order(written(changed(training=None))).training is False


@pytest.mark.parametrize(("table", "key"), REQUIRED, ids="-".join)
def test_a_missing_field_is_named_with_its_table_and_an_example(written: Written, table: str, key: str):
    said = refusal(written(without(table, key)))
    assert f'ordem.toml: "{key}" in [{table}] is missing; add it, for example {key} = ' in said


@pytest.mark.parametrize(("table", "key"), [one for one in REQUIRED if one[1] != "issued_on"], ids="-".join)
@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("14", "must be text in quotes"),
        ("true", "must be text in quotes"),
        ("2026-11-20", "must be text in quotes"),
        ('["a", "b"]', "must be text in quotes"),
        ('""', "is empty"),
        ('" \\t "', "is empty"),
        ('"a\\u0000b"', "control characters"),
        ('"\\u202Etxt"', "control characters"),
        ('"' + "x" * 2001 + '"', "too long"),
    ],
    ids=["number", "boolean", "date", "list", "empty", "blank", "nul", "turned", "long"],
)
def test_a_field_of_the_wrong_kind_is_named(written: Written, table: str, key: str, value: str, problem: str):
    section, lines = "", []
    for line in CONTRACT.splitlines():
        section = line if line.startswith("[") else section
        lines.append(f"{key} = {value}" if section == f"[{table}]" and line.split("=")[0].strip() == key else line)
    said = refusal(written("\n".join(lines)))
    assert f'"{key}" in [{table}]' in said and problem in said and f"for example {key} = " in said


@pytest.mark.parametrize("key", ["issued_on", "able_to_search_on"])
@pytest.mark.parametrize(
    "value", ['"20/11/2026"', '"2026-13-01"', '"20261120"', "20", "12:30:00", "true", "0026-11-20", "9999-12-31", "[]"]
)
def test_a_day_that_is_no_date_is_named(written: Written, key: str, value: str):
    said = refusal(written(changed(**{key: value})))
    assert f'"{key}" in [order] must be a date, year first, for example {key} = 2026-11-2' in said


@pytest.mark.parametrize(
    "value",
    ['"2026-11-20"', '" 2026-11-20 "', "2026-11-20T09:30:00", "2026-11-20T23:59:59Z", "2026-11-21T00:30:00+01:00"],
)
def test_a_day_may_be_a_date_a_text_or_a_time_of_day(written: Written, value: str):
    assert read_order(written(changed(issued_on=value))).issued_on == date(2026, 11, 20)


def test_a_search_that_was_possible_before_the_order_is_refused(written: Written):
    assert "able_to_search_on (19 Nov 2026) comes before issued_on (20 Nov 2026)" in refusal(
        written(changed(able_to_search_on="2026-11-19"))
    )


@pytest.mark.parametrize("value", ['"true"', "1", "[]"])
def test_training_is_true_or_false_and_nothing_else(written: Written, value: str):
    assert '"training" must be true or false without quotes' in refusal(written(changed(training=value)))


@pytest.mark.parametrize("slip", ["trainng", "Training", "TRAINING", "traning"])
def test_a_slip_in_the_word_training_never_makes_a_real_order(written: Written, slip: str):
    said = refusal(written(changed(training=None).replace("[order]", f"{slip} = true\n[order]", 1)))
    assert f'"{slip}" looks like a slip for "training"' in said


def test_training_under_a_heading_is_refused_because_toml_would_lose_it(written: Written):
    said = refusal(written(changed(training=None) + "training = true\n"))
    assert '"training" stands inside [examiner]; move it to the first line' in said


def test_an_unknown_measure_is_answered_with_the_known_ones(written: Written):
    said = refusal(written(changed(measure='"serch"')))
    assert '"measure" in [order]: "serch" is not a measure' in said and "search" in said and "preservation" in said


def test_an_unknown_authority_is_answered_with_the_known_ones(written: Written):
    said = refusal(written(changed(authority='"mayor"')))
    assert '"authority" in [order]: "mayor" is not an authority' in said and "judge" in said


def test_capital_letters_in_the_names_of_the_law_do_not_matter(written: Written):
    order = read_order(written(changed(measure='"Search"', authority='"JUDGE"')))
    assert (order.measure, order.authority) == ("search", "judge")


def test_an_authority_that_cannot_order_the_measure_is_refused_with_the_right_one(written: Written):
    said = refusal(written(changed(authority='"police"')))
    assert "asks for judicial authority" in said and "ask the prosecutor for an order" in said
    assert "ask the judge" in refusal(written(changed(measure='"mail_seizure"', authority='"public_prosecution"')))


def test_a_measure_of_a_convention_names_the_national_one(written: Written):
    said = refusal(written(changed(measure='"budapest_search"')))
    assert "which nobody orders directly" in said and 'measure = "search"' in said


def test_a_measure_older_than_its_law_is_refused_with_the_days(written: Written):
    said = refusal(written(changed(issued_on="2009-10-14", able_to_search_on=None)))
    assert "was not law on 14 Oct 2009" in said and "from 15 Oct 2009" in said


@pytest.mark.parametrize("heading", ["order = 3\n", 'order = "x"\n', "[[order]]\nmeasure = 1\n"])
def test_a_heading_that_is_a_value_is_named(written: Written, heading: str):
    assert "[order] must be a heading" in refusal(written(heading))


def test_keys_that_nothing_reads_become_warnings_and_their_number_is_bounded(written: Written):
    order = read_order(written(CONTRACT + 'agenci = "x"\n[notes]\na = 1\n'))
    assert order.warnings == (
        'ordem.toml: nothing reads "agenci" in [examiner]; check its spelling.',
        'ordem.toml: nothing reads "notes"; check its spelling.',
    )
    many = CONTRACT + "".join(f"k{number} = 1\n" for number in range(500))
    assert len(read_order(written(many)).warnings) == 20


def test_a_case_number_of_another_shape_and_days_that_count_from_long_after_are_warned_of(written: Written):
    assert "123/26.0JAEXP" in read_order(written(changed(number='"AP-7"'))).warnings[0]
    assert "be ready to show why" in read_order(written(changed(able_to_search_on="2027-02-01"))).warnings[0]


# The bytes --------------------------------------------------------------------------------------------------------


def test_a_byte_order_mark_and_the_line_ends_of_windows_are_read(written: Written):
    plain = read_order(written(CONTRACT))
    windows = read_order(written(b"\xef\xbb\xbf" + CONTRACT.replace("\n", "\r\n").encode()))
    assert windows.as_dict() | {"sha256": ""} == plain.as_dict() | {"sha256": ""}
    assert windows.digest != plain.digest, "the digest is that of the file's bytes"


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_a_file_in_another_encoding_says_how_to_save_it(written: Written, encoding: str):
    said = refusal(written(CONTRACT.replace("…", "x").encode(encoding)))
    assert said == "ordem.toml is not UTF-8 text; open it in an editor and save it as UTF-8."


def test_a_file_that_is_no_toml_says_where_and_shows_how(written: Written):
    said = refusal(written(changed(reference="Despacho 14/2026")))
    assert "at line 4" in said and 'reference = "Despacho 14/2026"' in said


def test_an_empty_file_lacks_its_first_field(written: Written):
    assert '"measure" in [order] is missing' in refusal(written(b""))


@pytest.mark.parametrize(
    "content",
    [b"[" * 60_000, b"a = " + b"[" * 60_000, b"a." * 30_000 + b"b = 1", b"a = " + b"9" * 60_000, bytes(60_000)],
    ids=["brackets", "lists", "dots", "digits", "zeros"],
)
def test_a_hostile_file_is_refused_in_seconds(written: Written, content: bytes):
    refusal(written(content))


def test_a_huge_file_is_refused_without_being_read(tmp_path: Path):
    path = tmp_path / "ordem.toml"
    with path.open("wb") as file:
        file.truncate(50 << 30)  # sparse
    assert "ordem.toml is too large to be an order" in refusal(path)


def test_a_folder_an_absent_file_and_an_impossible_path_are_no_orders(tmp_path: Path):
    for path in (tmp_path, tmp_path / "none.toml", tmp_path / ("n" * 300), Path("a\0b")):
        assert "--order" in refusal(path) or "cannot be read" in refusal(path)


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.binary(max_size=400), st.text(max_size=400).map(lambda text: text.encode())))
def test_whatever_the_bytes_are_the_answer_is_an_order_or_one_sentence(content: bytes):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "ordem.toml")
        path.write_bytes(content)
        refusal(path)


TEXTS = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=40)
DAYS = st.dates(date(2010, 1, 1), date(2199, 12, 31))


def quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


@settings(max_examples=150, deadline=None)
@given(st.data(), st.booleans(), DAYS, st.none() | st.integers(0, 400))
def test_what_is_written_is_what_is_read(data: st.DataObject, training: bool, issued: date, wait: int | None):
    keys = ["reference", "issued_by", "number", "description", "name", "agency"]
    texts = {key: data.draw(TEXTS) for key in keys}
    able = None if wait is None else min(issued + timedelta(days=wait), date(2199, 12, 31))
    content = changed(
        training=str(training).lower(),
        issued_on=issued.isoformat(),
        able_to_search_on=able.isoformat() if able else None,
        **{key: quoted(text) for key, text in texts.items()},
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "ordem.toml")
        path.write_bytes(content.encode())
        order = read_order(path)
    assert (order.training, order.issued_on, order.able_to_search_on) == (training, issued, able)
    assert (order.reference, order.issued_by) == (texts["reference"], texts["issued_by"])
    assert order.case_number == order.exhibit_number == texts["number"]
    assert (order.examiner_name, order.examiner_agency) == (texts["name"], texts["agency"])
    assert order.lapses_on == (able or issued) + timedelta(days=30)
    assert json.loads(json.dumps(order.as_dict())) == order.as_dict()
