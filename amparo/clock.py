"""Aware UTC time, read in one place and passed in everywhere else."""

from datetime import UTC, date, datetime
from functools import lru_cache

_FIRST_DAY = date(1970, 1, 1).toordinal()


def now() -> datetime:
    """The present moment, aware, in UTC."""
    return datetime.now(UTC)


def iso(moment: datetime) -> str:
    """ISO 8601 in UTC with ``Z``: whole seconds, or microseconds where there are any. ``moment`` must be aware."""
    if moment.tzinfo is None:
        raise ValueError("a time without a zone cannot be evidence")
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def iso_from_epoch(seconds: int, nanoseconds: int = 0) -> str | None:
    """ISO 8601 of a Unix time, or None for 0 (what file systems store where they know no time) and for years out of range."""
    if seconds == 0 and nanoseconds == 0:
        return None
    moment = _second(seconds)
    if moment is None:
        return None
    microseconds = nanoseconds // 1000
    return f"{moment}.{min(microseconds, 999_999):06}Z" if microseconds else f"{moment}Z"


# A disk has four times for each of its millions of files, many in the same second, and datetime takes three times as long.
@lru_cache(maxsize=1 << 15)
def _second(seconds: int) -> str | None:
    """Date and time of day of a Unix time, None where no calendar has it."""
    days, rest = divmod(seconds, 86_400)
    day = _day(days)
    minutes, second = divmod(rest, 60)
    return f"{day}T{minutes // 60:02}:{minutes % 60:02}:{second:02}" if day is not None else None


@lru_cache(maxsize=4096)
def _day(days: int) -> str | None:
    """The date so many days after the first of January 1970."""
    try:
        return date.fromordinal(_FIRST_DAY + days).isoformat()
    except (OverflowError, ValueError):
        return None
