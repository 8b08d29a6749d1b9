"""Lists of one file or digest a line: hashdeep's output, what md5sum, sha1sum and sha256sum write, and ``pdq:`` lines."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TextIO

from amparo.known.lists.entry import Entry
from amparo.known.lists.writers.omissions import LINE_ENDS, Omissions, flags_of

_KINDS = ("md5", "sha1", "sha256")
_SIZE = re.compile(r"\d{1,20}", re.ASCII)


def write_hashdeep(entries: Iterable[Entry], out: TextIO, omissions: Omissions) -> int:
    """Columns are named anew whenever an entry has other digests than the one before, and a size that is not known is empty.

    hashdeep itself reads the first such part of a file, and calls a file of another size a collision.
    """
    count, columns = 0, ""
    for entry in entries:
        if not omissions.parts(entry, *_KINDS, "entry"):
            continue
        flags = flags_of(entry)
        size = flags.pop("size", None)
        if not (isinstance(size, str) and _SIZE.fullmatch(size)):
            omissions.flags([] if size is None else ["size"])
            size = ""
        omissions.flags(flags)
        given = [kind for kind in _KINDS if getattr(entry, kind) is not None]
        wanted = ",".join(["size", *given])
        if wanted != columns:
            out.write(f"%%%% HASHDEEP-1.0\n%%%% {wanted},filename\n")
            columns = wanted
        digests = [getattr(entry, kind).hex() for kind in given]
        out.write(",".join([size, *digests, _one_line(entry.entry or "", omissions)]) + "\n")
        count += 1
    if not count:
        out.write("%%%% HASHDEEP-1.0\n%%%% size,md5,sha256,filename\n")
    return count


def write_md5sum(entries: Iterable[Entry], out: TextIO, omissions: Omissions) -> int:
    return _sums(entries, out, omissions, "md5", "")


def write_sha1sum(entries: Iterable[Entry], out: TextIO, omissions: Omissions) -> int:
    return _sums(entries, out, omissions, "sha1", "")


def write_sha256sum(entries: Iterable[Entry], out: TextIO, omissions: Omissions) -> int:
    return _sums(entries, out, omissions, "sha256", "")


def write_pdq(entries: Iterable[Entry], out: TextIO, omissions: Omissions) -> int:
    """``pdq:`` and 64 hex characters, then the identifier as md5sum has names."""
    return _sums(entries, out, omissions, "pdq", "pdq:")


def _sums(entries: Iterable[Entry], out: TextIO, omissions: Omissions, kind: str, prefix: str) -> int:
    count = 0
    for entry in entries:
        if not omissions.parts(entry, kind, "entry"):
            continue
        omissions.flags(flags_of(entry))
        value = getattr(entry, kind).hex()
        name = entry.entry
        if name is None:
            out.write(f"{prefix}{value}\n")
        elif any(letter in name for letter in "\\\n\r"):
            escaped = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
            out.write(f"\\{prefix}{value}  {escaped}\n")
        else:
            out.write(f"{prefix}{value}  {name}\n")
        count += 1
    return count


def _one_line(text: str, omissions: Omissions) -> str:
    if "\n" in text or "\r" in text:
        omissions.note(LINE_ENDS)
        return re.sub(r"[\r\n]+", " ", text)
    return text
