"""What an order allows, and on which days: the last second of the last day is allowed, the first of the next is not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amparo.errors import NotAllowed, OrderExpired, UsedWrongly
from amparo.evidence.order import Order, read_order
from tests.evidence.test_order import LISBON, NOON, changed, not_allowed

Made = Callable[..., Order]


@pytest.fixture
def made(tmp_path: Path) -> Made:
    def make(**values: str | None) -> Order:
        path = tmp_path / "ordem.toml"
        path.write_text(changed(**values), "utf-8")
        return read_order(path)

    return make


@pytest.mark.parametrize(
    ("issued", "last"),
    [
        (date(2026, 11, 20), date(2026, 12, 20)),  # winter
        (date(2026, 6, 1), date(2026, 7, 1)),  # summer
        (date(2026, 3, 10), date(2026, 4, 9)),  # the clocks go forward in between
        (date(2026, 10, 10), date(2026, 11, 9)),  # and back
        (date(2026, 9, 25), date(2026, 10, 25)),  # the last day itself has 25 hours
        (date(2026, 2, 27), date(2026, 3, 29)),  # or 23
    ],
)
def test_the_last_second_of_the_last_day_in_lisbon_is_allowed_and_the_next_is_not(made: Made, issued: date, last: date):
    order = made(issued_on=issued.isoformat(), able_to_search_on=None)
    assert order.lapses_on == last
    end = datetime(last.year, last.month, last.day, 23, 59, 59, tzinfo=LISBON)
    order.require("search", end)
    order.require("search", end.astimezone(UTC))
    with pytest.raises(OrderExpired):
        order.require("search", end.astimezone(UTC) + timedelta(seconds=1))


def test_a_lapsed_order_names_the_day_it_lapsed_and_whom_to_ask(made: Made):
    said = not_allowed(made(able_to_search_on=None), datetime(2026, 12, 21, 0, 0, tzinfo=LISBON))
    assert said == "Search order Despacho 14/2026 lapsed on 20 Dec 2026; ask the prosecutor for a new one."


def test_the_thirty_days_count_from_the_day_a_search_was_possible(made: Made):
    order = made()
    assert order.lapses_on == date(2026, 12, 23) and order.counts_from == date(2026, 11, 23)
    order.require("search", datetime(2026, 12, 23, 23, 59, 59, tzinfo=LISBON))


def test_an_order_cannot_be_used_before_its_date_nor_before_a_search_is_possible(made: Made):
    order = made()
    assert "is dated 20 Nov 2026, a day still to come" in not_allowed(order, datetime(2026, 11, 19, 12, tzinfo=UTC))
    assert "can be used from 23 Nov 2026 only" in not_allowed(order, datetime(2026, 11, 22, 23, 59, 59, tzinfo=LISBON))
    order.require("search", datetime(2026, 11, 23, 0, 0, tzinfo=LISBON))
    with pytest.raises(OrderExpired):
        order.require("search", datetime(2026, 11, 22, 12, tzinfo=UTC))


def test_an_order_begins_at_lisbons_midnight_in_summer(made: Made):
    order = made(issued_on="2026-07-01", able_to_search_on=None)
    order.require("search", datetime(2026, 6, 30, 23, 0, tzinfo=UTC))
    with pytest.raises(OrderExpired):
        order.require("search", datetime(2026, 6, 30, 22, 59, 59, tzinfo=UTC))


@pytest.mark.parametrize(
    ("measure", "authority"),
    [
        ("preservation", "judicial_authority"),
        ("production_injunction", "public_prosecution"),
        ("mail_seizure", "judge"),
        ("interception", "judge"),
        ("covert_operation", "public_prosecution"),
        ("blocking_list", "competent_authority"),
        ("epoc", "issuing_authority"),
        ("dsa_order_to_act", "judge"),
    ],
)
def test_a_measure_that_authorises_no_search_says_what_to_ask_for(made: Made, measure: str, authority: str):
    order = made(measure=f'"{measure}"', authority=f'"{authority}"')
    said = not_allowed(order, NOON)
    assert "does not authorise a search; ask the prosecutor for one under Lei 109/2009, art. 15" in said


def test_an_urgent_act_of_the_police_authorises_nothing_before_it_is_validated(made: Made):
    order = made(measure='"seizure"', authority='"police"')
    said = not_allowed(order, NOON)
    assert "an act of the police in urgency" in said and "ask the prosecutor to validate it" in said


def test_a_validated_seizure_allows_the_reading_of_what_was_seized_and_has_no_last_day(made: Made):
    order = made(measure='"seizure"')
    assert order.lapses_on is None and order.lapses_soon(NOON, 400) is None and order.as_dict()["lapses_on"] is None
    order.require("search", NOON + timedelta(days=400))


def test_a_search_order_allows_the_gathering_of_files_and_not_of_mail(made: Made):
    made().require("gather", NOON)
    assert "does not authorise the seizure of e-mail; ask the judge" in not_allowed(made(), NOON, "gather_mail")
    with pytest.raises(UsedWrongly, match='"look" is not an act'):
        made().require("look", NOON)


def test_a_measure_is_checked_before_its_days(made: Made):
    order = made(measure='"preservation"')
    with pytest.raises(NotAllowed) as caught:
        order.require("search", NOON + timedelta(days=3000))
    assert not isinstance(caught.value, OrderExpired)


def test_an_order_about_to_lapse_is_told_of_and_a_lapsed_one_is_not(made: Made):
    order = made(able_to_search_on=None)
    assert order.lapses_soon(datetime(2026, 12, 20, 12, tzinfo=UTC), 0) == date(2026, 12, 20)
    assert order.lapses_soon(datetime(2026, 12, 17, 12, tzinfo=UTC), 3) == date(2026, 12, 20)
    assert order.lapses_soon(datetime(2026, 12, 16, 12, tzinfo=UTC), 3) is None
    assert order.lapses_soon(datetime(2026, 12, 21, 12, tzinfo=UTC), 3) is None


def test_a_time_without_a_zone_allows_nothing(made: Made):
    with pytest.raises(ValueError, match="no day of law"):
        made().require("search", datetime(2026, 11, 25, 12))


def test_what_a_jurist_has_not_confirmed_goes_into_the_evidence_as_such(made: Made):
    stated = made().as_dict()
    assert stated["confirmed_by_jurist"] is False and stated["article"] == "Lei 109/2009, art. 15"
    assert stated["lapses_on"] == "2026-12-23" and len(stated["sha256"]) == 64


@given(st.integers(-40, 80), st.integers(0, 86_399))
def test_an_order_allows_a_search_on_its_thirty_one_days_and_on_no_other(day: int, second: int):
    order = Order(
        False, "search", "D", "P", "judicial_authority", date(2026, 3, 10), None, "c", "e", "d", "n", "a", "0" * 64
    )
    moment = (datetime(2026, 3, 10, tzinfo=LISBON) + timedelta(days=day)).replace(tzinfo=None) + timedelta(
        seconds=second
    )
    now = moment.replace(tzinfo=LISBON).astimezone(UTC)
    try:
        order.require("search", now)
        allowed = True
    except OrderExpired:
        allowed = False
    assert allowed == (0 <= (now.astimezone(LISBON).date() - date(2026, 3, 10)).days <= 30)
