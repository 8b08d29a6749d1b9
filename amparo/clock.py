"""Aware UTC time, read in one place and passed in everywhere else."""

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

_EPOCH = date(1970, 1, 1)


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
    day, second = divmod(seconds, 86400)
    written = _date(day)
    if written is None:
        return None
    # A listing makes four of these for every file of a disk, so the text is put together by hand.
    text = f"{written}T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
    microseconds = min(nanoseconds // 1000, 999_999)
    return f"{text}.{microseconds:06}Z" if microseconds > 0 else f"{text}Z"


@lru_cache(maxsize=4096)
def _date(day: int) -> str | None:
    try:
        return (_EPOCH + timedelta(days=day)).isoformat()
    except OverflowError:
        return None
