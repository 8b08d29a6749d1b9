"""How time is counted: Lisbon's midnights, hours that pass whatever the clocks do, months of unequal length."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amparo.law.counting import Length, due, end_of, last_day, law_day

LISBON = ZoneInfo("Europe/Lisbon")
DAYS = st.dates(date(1995, 1, 1), date(2150, 12, 31))
MOMENTS = st.datetimes(datetime(1995, 1, 1), datetime(2150, 12, 31), timezones=st.just(UTC))


def test_the_day_of_the_event_is_not_counted_and_the_last_day_is():
    assert last_day(date(2026, 11, 20), Length(days=30)) == date(2026, 12, 20)
    assert last_day(date(2026, 12, 31), Length(days=1)) == date(2027, 1, 1)


def test_days_count_through_a_leap_day_and_the_turn_of_the_year():
    assert last_day(date(2028, 2, 1), Length(days=30)) == date(2028, 3, 2)
    assert last_day(date(2027, 2, 1), Length(days=30)) == date(2027, 3, 3)
    assert last_day(date(2026, 12, 15), Length(days=30)) == date(2027, 1, 14)


@pytest.mark.parametrize(
    ("start", "months", "end"),
    [
        (date(2026, 1, 15), 3, date(2026, 4, 15)),
        (date(2026, 1, 31), 1, date(2026, 2, 28)),
        (date(2028, 1, 31), 1, date(2028, 2, 29)),
        (date(2026, 11, 30), 3, date(2027, 2, 28)),
        (date(2026, 3, 31), 3, date(2026, 6, 30)),
        (date(2026, 2, 28), 12, date(2027, 2, 28)),
        (date(2028, 2, 29), 12, date(2029, 2, 28)),
        (date(2026, 12, 31), 60, date(2031, 12, 31)),
    ],
)
def test_a_term_in_months_ends_on_the_same_day_or_on_the_last_of_a_shorter_month(start: date, months: int, end: date):
    assert last_day(start, Length(months=months)) == end


def test_a_day_of_law_is_a_day_in_lisbon_not_in_utc():
    assert law_day(datetime(2026, 7, 1, 22, 59, 59, tzinfo=UTC)) == date(2026, 7, 1)
    assert law_day(datetime(2026, 7, 1, 23, 0, tzinfo=UTC)) == date(2026, 7, 2), "summer time is an hour ahead"
    assert law_day(datetime(2026, 12, 1, 23, 59, 59, tzinfo=UTC)) == date(2026, 12, 1)
    assert law_day(datetime(2026, 12, 2, 0, 0, tzinfo=UTC)) == date(2026, 12, 2)
    assert law_day(datetime(2026, 7, 1, 12, 0, tzinfo=timezone(timedelta(hours=12)))) == date(2026, 7, 1)


def test_a_time_without_a_zone_falls_on_no_day():
    with pytest.raises(ValueError, match="no day of law"):
        law_day(datetime(2026, 7, 1))


def test_a_day_ends_at_lisbons_midnight_in_summer_in_winter_and_when_the_clocks_change():
    last = timedelta(microseconds=1)
    assert end_of(date(2026, 7, 1)) + last == datetime(2026, 7, 1, 23, tzinfo=UTC)
    assert end_of(date(2026, 12, 1)) + last == datetime(2026, 12, 2, tzinfo=UTC)
    # 29 March 2026 has 23 hours and begins in winter time; 25 October 2026 has 25 and begins in summer time.
    assert end_of(date(2026, 3, 29)) - end_of(date(2026, 3, 28)) == timedelta(hours=23)
    assert end_of(date(2026, 10, 25)) - end_of(date(2026, 10, 24)) == timedelta(hours=25)


def test_hours_are_hours_also_over_a_night_in_which_the_clocks_change():
    for start in (datetime(2026, 3, 28, 12, tzinfo=LISBON), datetime(2026, 10, 24, 12, tzinfo=LISBON)):
        assert due(start, Length(hours=72)) == start.astimezone(UTC) + timedelta(hours=72)
    spring = due(datetime(2026, 3, 28, 12, tzinfo=LISBON), Length(hours=72)).astimezone(LISBON)
    assert (spring.day, spring.hour) == (31, 13), "72 hours end an hour later on the clock once summer time began"


def test_days_end_at_midnight_whatever_the_hour_of_the_event():
    for hour in (0, 9, 23):
        assert due(datetime(2026, 11, 20, hour, 30, tzinfo=LISBON), Length(days=30)) == end_of(date(2026, 12, 20))


def test_a_term_in_hours_has_no_last_day():
    with pytest.raises(ValueError, match="an instant"):
        last_day(date(2026, 1, 1), Length(hours=72))


@pytest.mark.parametrize("wrong", [{}, {"days": -1}, {"days": 3, "hours": 1}, {"months": 1, "days": 1}, {"hours": 0}])
def test_a_term_is_so_many_hours_or_days_or_months_and_nothing_else(wrong: dict[str, int]):
    with pytest.raises(ValueError, match="only one of them"):
        Length(**wrong)


@given(DAYS, st.integers(1, 2000))
def test_so_many_days_later_is_so_many_days_later(day: date, days: int):
    assert (last_day(day, Length(days=days)) - day).days == days


@given(DAYS, st.integers(1, 300))
def test_months_never_skip_a_month_nor_pass_the_day(day: date, months: int):
    end = last_day(day, Length(months=months))
    assert (end.year - day.year) * 12 + end.month - day.month == months
    assert end.day == day.day or (end.day < day.day and (end + timedelta(days=1)).day == 1)


@given(MOMENTS)
def test_every_moment_lies_within_its_day(moment: datetime):
    day = law_day(moment)
    assert end_of(day - timedelta(days=1)) < moment <= end_of(day)


@given(DAYS)
def test_the_last_instant_of_a_day_is_of_that_day_and_the_next_is_not(day: date):
    assert law_day(end_of(day)) == day
    assert law_day(end_of(day) + timedelta(microseconds=1)) == day + timedelta(days=1)
