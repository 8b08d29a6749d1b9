"""Aware UTC time, read in one place and passed in everywhere else."""

from datetime import UTC, datetime


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
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, OSError, ValueError):
        return None
    return iso(moment.replace(microsecond=min(nanoseconds // 1000, 999_999)))
