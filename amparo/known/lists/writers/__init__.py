"""Writers of lists: as the entries come, in bounded memory; what a format has no place for is counted, never lost in silence."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final, TextIO, cast

from amparo.errors import UsedWrongly
from amparo.known.lists.entry import Entry
from amparo.known.lists.writers import lines, ncmec, rows, stopncii, vics
from amparo.known.lists.writers.omissions import Omissions

Writer = Callable[[Iterable[Entry], TextIO, Omissions], int]

FORMATS: Final[dict[str, Writer]] = {
    "vics-1.3": vics.write_13,
    "vics-2.0": vics.write_20,
    "icse": rows.write_icse,
    "csv": rows.write_csv,
    "threatexchange": rows.write_signals,
    "hashdeep": lines.write_hashdeep,
    "md5sum": lines.write_md5sum,
    "sha1sum": lines.write_sha1sum,
    "sha256sum": lines.write_sha256sum,
    "pdq": lines.write_pdq,
    "ncmec": ncmec.write,
    "stopncii": stopncii.write,
}


@dataclass(frozen=True, slots=True)
class Written:
    """How many entries were written, and of how many the format had no place for what."""

    count: int
    left_out: dict[str, int]


def write_list(entries: Iterable[Entry], format: str, out: TextIO | BinaryIO) -> Written:
    """Write the entries in a format of :data:`FORMATS`, as UTF-8 where ``out`` takes bytes; ``out`` is left open.

    Raises UsedWrongly for another format; errors of ``out`` pass through.
    """
    writer = FORMATS.get(format)
    if writer is None:
        raise UsedWrongly(f"Lists are not written as {format}: choose one of {', '.join(FORMATS)}.")
    omissions = Omissions()
    with _text(out) as text:
        count = writer(entries, text, omissions)
    return Written(count, dict(omissions.counts))


@contextlib.contextmanager
def _text(out: TextIO | BinaryIO) -> Iterator[TextIO]:
    if isinstance(out, io.TextIOBase) or "b" not in str(getattr(out, "mode", "b")):
        yield cast(TextIO, out)
        return
    text = io.TextIOWrapper(cast(BinaryIO, out), "utf-8", errors="backslashreplace", newline="")
    try:
        yield text
        text.flush()
    finally:
        text.detach()
