"""What a finished package holds, in the formats of other tools: CASE, VICS, DFXML, a timeline, a table.

An export reads ``data/evidence.sqlite`` and nothing else, so it needs neither the source nor a key. It is written whole
or not at all, outside the package, and never over a file that is there. Memory does not grow with the number of files.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from amparo.errors import PackageWrong, UsedWrongly
from amparo.evidence.exports import case, dfxml, tables_csv, timeline, vics
from amparo.evidence.exports.finished import Finished

Writer = Callable[[Finished, TextIO, str], int]

#: Of each format: what writes it, and its versions, the default one first; no version where there is only one.
FORMATS: dict[str, tuple[Writer, tuple[str, ...]]] = {
    "case": (case.write, ()),
    "vics": (vics.write, tuple(vics.MODELS)),
    "dfxml": (dfxml.write, ()),
    "timeline": (timeline.write, ()),
    "csv": (tables_csv.write, ()),
}


def export(package: Path, format: str, out: Path, version: str | None = None) -> int:
    """Write ``package`` in ``format`` (a key of :data:`FORMATS`) to the new file ``out``; gives the entries written.

    What an entry is depends on the format: a file for CASE and DFXML, a medium for VICS, a row for the tables. Raises
    PackageWrong where ``package`` is none, was never finished, or its tables are not those that were sealed; UsedWrongly
    for an unknown format or version, and where ``out`` is there already, lies inside the package, or has no folder.
    """
    writer, chosen = _chosen(format, version)
    with Finished(package) as finished:
        _check_place(package, out)
        # Beside the place it goes to, so that renaming it there is one step; short, as ``out`` may have the longest name.
        part = out.with_name(f".amparo-{secrets.token_hex(6)}.part")
        try:
            with part.open("x", encoding="utf-8", newline="") as text:
                entries = writer(finished, text, chosen)
                text.flush()
                os.fsync(text.fileno())
            if os.path.lexists(out):
                raise _there(out)
            part.rename(out)
        except sqlite3.Error as error:
            raise PackageWrong(
                f"The tables of {package} cannot be read ({error}): run amparo verify on it, and export from a sound copy."
            ) from error
        finally:
            part.unlink(missing_ok=True)
    return entries


def _chosen(format: str, version: str | None) -> tuple[Writer, str]:
    if format not in FORMATS:
        raise UsedWrongly(f"There is no export format “{format}”: choose one of {', '.join(FORMATS)}.")
    writer, versions = FORMATS[format]
    if version is None:
        return writer, versions[0] if versions else ""
    if not versions:
        raise UsedWrongly(f"The format {format} has one version only: leave --version out.")
    if version not in versions:
        raise UsedWrongly(f"There is no version “{version}” of {format}: choose one of {', '.join(versions)}.")
    return writer, version


def _check_place(package: Path, out: Path) -> None:
    # realpath, which unlike Path.resolve does not stumble over a link that leads to itself.
    if Path(os.path.realpath(out)).is_relative_to(os.path.realpath(package)):
        raise UsedWrongly("The export would lie inside the package and break its seal: choose an --out outside it.")
    if not out.parent.is_dir():
        raise UsedWrongly(f"There is no folder {out.parent}: make it first, or choose another --out.")
    if os.path.lexists(out):
        raise _there(out)


def _there(out: Path) -> UsedWrongly:
    return UsedWrongly(f"{out} is there already and is not overwritten: name another --out.")
