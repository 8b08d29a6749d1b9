"""Digital Forensics XML as fiwalk writes it, for tools that compare, index or extract by file and byte run.

Elements and their order are those of the DFXML schema 1.1.0 (dfxml-working-group/dfxml_schema). Characters that XML 1.0
cannot hold are written ``\\xNN`` or ``\\uNNNN``, as the tables do for bytes that are no text.
"""

from __future__ import annotations

import re
import sqlite3
from typing import TextIO

import amparo
from amparo.evidence.exports.finished import TRAINING, Finished, extents

_OPENING = """<?xml version="1.0" encoding="UTF-8"?>
{mark}<dfxml
  xmlns="http://www.forensicswiki.org/wiki/Category:Digital_Forensics_XML"
  xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
  xmlns:dc="http://purl.org/dc/elements/1.1/"
  version="1.1.0">
  <metadata>
    <dc:type>{kind}</dc:type>
  </metadata>
  <creator version="1.0">
    <program>amparo</program>
    <version>{version}</version>
    <execution_environment>
      <command_line>{command}</command_line>
{started}    </execution_environment>
  </creator>
  <source>
    <image_filename>{source}</image_filename>
  </source>
"""
_MARK = f"<!-- {TRAINING}: this comes from training data and is never evidence. -->\n"
# Char of XML 1.0, 2.2.
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_TIMES = (("mtime", "modified"), ("ctime", "changed"), ("atime", "accessed"), ("crtime", "created"))
_RECOVERED = ("deleted", "orphan", "carved")


def text(value: object) -> str:
    """The value as the text of an element."""
    said = _FORBIDDEN.sub(_visible, str(value))
    said = said.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return said.replace("\r", "&#13;")  # a reader would make it a line feed (XML 1.0, 2.11)


def _visible(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def write(finished: Finished, out: TextIO, version: str) -> int:
    """Write the document; gives how many fileobjects it has."""
    del version
    run, order = finished.run, finished.order
    kind = "Logical Folder" if run.get("source_format") == "folder" else "Disk Image"
    command = (
        f"amparo search under {order['reference']}, case {order['case_number']}, exhibit {order['exhibit_number']}"
    )
    started = run.get("started")
    out.write(
        _OPENING.format(
            mark=_MARK if finished.training else "",
            kind=f"{TRAINING}: {kind}" if finished.training else kind,
            version=text(run.get("version", amparo.__version__)),
            command=text(f"{TRAINING}: {command}" if finished.training else command),
            started=f"      <start_time>{text(started)}</start_time>\n" if started else "",
            source=text(run.get("source", "")),
        )
    )
    files = 0
    for volume in finished.volumes():
        files += _volume(finished, volume, out)
    out.write("</dfxml>\n")
    return files


def _volume(finished: Finished, volume: sqlite3.Row, out: TextIO) -> int:
    offset = volume["offset"]
    out.write(f'  <volume offset="{offset}">\n' if offset is not None else "  <volume>\n")
    if offset is not None:
        out.write(f"    <partition_offset>{offset}</partition_offset>\n")
    if volume["filesystem"]:
        out.write(f"    <ftype_str>{text(volume['filesystem'])}</ftype_str>\n")
    files = 0
    addressed = offset is not None and (volume["layers"] or "[]") == "[]"
    for row in finished.database.execute("select * from files where volume = ? order by id", (volume["id"],)):
        out.write(_fileobject(row, finished.outermost(row)["state"], offset if addressed else None))
        files += 1
    out.write("  </volume>\n")
    return files


def _fileobject(row: sqlite3.Row, state: str, offset: int | None) -> str:
    """``state`` is that of the file itself, or of the archive in which it lies."""
    # fiwalk counts partitions from 1, and a bare file system is its first.
    parts = [
        "    <fileobject>",
        f"      <filename>{text(row['path'])}</filename>",
        f"      <partition>{row['volume'] or 1}</partition>",
        f"      <id>{row['id']}</id>",
        "      <name_type>r</name_type>",
        f"      <filesize>{row['size']}</filesize>",
    ]
    allocation = "unalloc" if state in _RECOVERED else "alloc"
    parts.append(f"      <{allocation}>1</{allocation}>")
    if row["state"] == "orphan":
        parts.append("      <orphan>1</orphan>")
    number = (row["address"] or "").partition("-")[0]
    if row["state"] in ("live", "deleted", "orphan") and offset is not None and number.isascii() and number.isdigit():
        parts.append(f"      <inode>{number}</inode>")
    parts += [f"      <{name}>{text(row[column])}</{name}>" for name, column in _TIMES if row[column]]
    if row["mime"]:
        parts.append(f"      <libmagic>{text(row['mime'])}</libmagic>")
    parts += _byte_runs(row, offset)
    parts += [
        f"      <hashdigest type='{name}'>{row[name]}</hashdigest>" for name in ("md5", "sha1", "sha256") if row[name]
    ]
    parts.append("    </fileobject>\n")
    return "\n".join(parts)


def _byte_runs(row: sqlite3.Row, offset: int | None) -> list[str]:
    runs = extents(row)
    if not runs:
        return []
    # The tables leave holes out. Only where the runs are the whole file is it known at which of its bytes each begins.
    whole = sum(length for _, length in runs) >= row["size"]
    parts, at = ["      <byte_runs>"], 0
    for start, length in runs:
        place = f" file_offset='{at}'" if whole else ""
        if offset is not None and start >= offset:
            place += f" fs_offset='{start - offset}'"
        parts.append(f"        <byte_run{place} img_offset='{start}' len='{length}'/>")
        at += length
    return [*parts, "      </byte_runs>"]
