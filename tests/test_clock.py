"""Times are aware, in UTC, and written one way."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amparo.clock import iso, iso_from_epoch


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="zone"):
        iso(datetime(2026, 1, 1))


def test_a_time_of_another_zone_is_written_in_utc() -> None:
    assert iso(datetime(2026, 7, 1, 0, 30, tzinfo=timezone(timedelta(hours=1)))) == "2026-06-30T23:30:00Z"


def test_no_time_is_none_and_so_is_a_year_that_cannot_be_written() -> None:
    assert iso_from_epoch(0) is None
    assert iso_from_epoch(1 << 60) is None
    assert iso_from_epoch(-(1 << 60)) is None


@given(st.integers(-62_000_000_000, 253_000_000_000), st.integers(0, 999_999_999))
def test_a_unix_time_is_written_as_datetime_would_write_it(seconds: int, nanoseconds: int) -> None:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds, microseconds=nanoseconds // 1000)
    if seconds or nanoseconds:
        assert iso_from_epoch(seconds, nanoseconds) == iso(moment)
