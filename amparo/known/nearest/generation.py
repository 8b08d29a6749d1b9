"""The generations of a living index on disk: how one is written, takes another's place, and is read."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from amparo.errors import UsedWrongly
from amparo.known.nearest.bands import BITS
from amparo.known.nearest.base import Fingerprints, Nearest
from amparo.known.nearest.tail import ADDED, MOST, batches
from amparo.known.table import Damaged, mapped

FORMAT: Final = "amparo-living-fingerprints"
VERSION: Final = 1
CURRENT: Final = "current.json"
LARGEST_CURRENT: Final = 1 << 20

Rows = npt.NDArray[np.int64]
Stamp = tuple[int, int]


class Generation(NamedTuple):
    """One generation as far as it was read. Arrays are never changed once they are here."""

    number: int
    stamp: Stamp  # of current.json
    base: Nearest
    numbers: Rows | None  # of the base's rows; None where row and number are the same
    tail: Nearest
    tail_numbers: Rows
    gone: Rows  # sorted
    following: int  # the number of the next row
    end: int  # of what was read of the tail
    seen: Stamp  # the tail's size and time when it was read


def base_of(folder: Path, generation: int) -> Path:
    """The folder of a generation's base."""
    return folder / f"base-{generation:06}"


def tail_of(folder: Path, generation: int) -> Path:
    """The file of a generation's tail."""
    return folder / f"tail-{generation:06}"


def stamp_of(folder: Path) -> Stamp:
    """What changes when another generation takes the current one's place. Raises UsedWrongly where there is none."""
    try:
        status = (folder / CURRENT).stat()
    except FileNotFoundError:
        raise UsedWrongly(f"{folder} holds no index of fingerprints: create one first.") from None
    return status.st_ino, status.st_mtime_ns


def stamp_of_tail(folder: Path, generation: int) -> Stamp:
    """What changes when a generation's tail is added to."""
    status = tail_of(folder, generation).stat()
    return status.st_size, status.st_mtime_ns


def _check_of(current: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps({k: v for k, v in current.items() if k != "check"}, sort_keys=True).encode())


def read_current(folder: Path) -> dict[str, Any]:
    """What ``current.json`` says. Raises Damaged, and UsedWrongly where it is of another version or machine."""
    try:
        with (folder / CURRENT).open("rb") as stream:
            current = json.loads(stream.read(LARGEST_CURRENT))
    except (ValueError, RecursionError):
        raise Damaged(f"{CURRENT} cannot be read") from None
    if not isinstance(current, dict) or current.get("format") != FORMAT or current.get("check") != _check_of(current):
        raise Damaged(f"{CURRENT} cannot be read")
    if current.get("version") != VERSION or current.get("byteorder") != sys.byteorder:
        raise UsedWrongly(f"The index {folder} was built by another version or machine: build it again here.")
    return current


def open_generation(folder: Path, current: dict[str, Any], stamp: Stamp) -> Generation:
    """The generation that ``current`` names, read to its end. Raises Damaged, and OSError as reading does."""
    try:
        generation, following, described = current["generation"], current["following"], current["base"]
        place, dense = base_of(folder, generation), current["dense"]
        base = Nearest.open(place, described)
        numbers = None if dense else np.frombuffer(mapped(place / "pdq.numbers", len(base) * 8), np.int64)
    except (KeyError, TypeError, ValueError):
        raise Damaged(f"{CURRENT} does not describe it") from None
    nothing = np.empty(0, np.int64)
    state = Generation(
        generation, stamp, base, numbers, Nearest.of(np.empty((0, BITS // 8), np.uint8)), nothing, nothing, following, 0,
        (-1, 0),
    )  # fmt: skip
    return read_on(folder, state)


def read_on(folder: Path, state: Generation) -> Generation:
    """The same generation with what its tail was given since. Raises Damaged, and OSError as reading does."""
    seen = stamp_of_tail(folder, state.number)
    hashes, numbers, gone = [state.tail.hashes], [state.tail_numbers], [state.gone]
    following, end = state.following, state.end
    for found in batches(tail_of(folder, state.number), end):
        end = found.end
        if found.kind == ADDED:
            if found.first != following:
                raise Damaged(f"{tail_of(folder, state.number).name} does not follow its base")
            hashes.append(np.frombuffer(found.content, np.uint8).reshape(-1, BITS // 8))
            numbers.append(np.arange(following, following + found.rows))
            following += found.rows
        else:
            gone.append(np.frombuffer(found.content, "<i8").astype(np.int64))
    if end == state.end:
        return state._replace(seen=seen)
    all_numbers = np.concatenate(numbers)
    if len(gone) > 1:
        taken = np.unique(np.concatenate(gone))
        gone = [taken[among(taken, all_numbers) | _in_base(taken, state)]]
    return state._replace(
        tail=Nearest.of(np.concatenate(hashes)), tail_numbers=all_numbers, gone=gone[0], following=following, end=end, seen=seen
    )  # fmt: skip


def among(numbers: Rows, ascending: Rows) -> npt.NDArray[np.bool_]:
    """Which of ``numbers`` are in ``ascending``."""
    if not len(ascending):
        return np.zeros(len(numbers), bool)
    return np.asarray(ascending[np.minimum(np.searchsorted(ascending, numbers), len(ascending) - 1)] == numbers)


def _in_base(numbers: Rows, state: Generation) -> npt.NDArray[np.bool_]:
    if state.numbers is None:
        return numbers < len(state.base)
    return among(numbers, state.numbers)


def kept(state: Generation) -> Rows:
    """The numbers of the rows that are not gone, ascending."""
    base = np.arange(len(state.base)) if state.numbers is None else state.numbers
    numbers = np.concatenate((base, state.tail_numbers))
    return numbers[~among(numbers, state.gone)]


def hashes_of(state: Generation, numbers: Rows) -> Iterator[Fingerprints]:
    """The fingerprints of these rows, a part at a time."""
    rows = numbers if state.numbers is None else np.searchsorted(state.numbers, numbers)
    in_base = int(np.searchsorted(numbers, state.tail_numbers[0])) if len(state.tail_numbers) else len(numbers)
    for at in range(0, in_base, MOST):
        yield state.base.hashes[rows[at : min(at + MOST, in_base)]]
    if in_base < len(numbers):
        yield state.tail.hashes[np.searchsorted(state.tail_numbers, numbers[in_base:])]


def write_generation(
    folder: Path, generation: int, hashes: Iterator[Fingerprints], numbers: Rows | None, rows: int
) -> None:
    """The base of a generation, safe on the disk; nothing names it yet."""
    place = base_of(folder, generation)
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    described = Nearest.build_from(hashes, rows, place)
    dense = numbers is None or not len(numbers) or int(numbers[-1]) == len(numbers) - 1
    if numbers is not None and not dense:
        (place / "pdq.numbers").write_bytes(numbers.astype(np.int64).data)
    files = {}
    for path in sorted(place.iterdir()):
        with path.open("rb") as stream:
            files[path.name] = {
                "size": path.stat().st_size,
                "sha256": hashlib.file_digest(stream, "sha256").hexdigest(),
            }
            os.fsync(stream.fileno())
    told = {"base": described, "dense": dense, "files": files}
    (place / "described.json").write_text(json.dumps(told), "utf-8")
    _settle(place)


def begin_tail(folder: Path, generation: int, content: bytes) -> None:
    """The tail of a generation, safe on the disk; nothing names it yet."""
    with tail_of(folder, generation).open("wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())


def make_current(folder: Path, generation: int, following: int) -> None:
    """Let this generation take the place of the one before; ``following`` is the number of its tail's first row."""
    told = json.loads((base_of(folder, generation) / "described.json").read_bytes())
    current = {
        "format": FORMAT, "version": VERSION, "byteorder": sys.byteorder, "generation": generation, "following": following,
        **told,
    }  # fmt: skip
    current["check"] = _check_of(current)
    new = folder / f".{CURRENT}"
    with new.open("w", encoding="utf-8") as out:
        json.dump(current, out)
        out.flush()
        os.fsync(out.fileno())
    _settle(folder)
    new.replace(folder / CURRENT)
    _settle(folder)


def _settle(folder: Path) -> None:
    """Have the disk keep the names in the folder."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def clear(folder: Path, generation: int) -> None:
    """Take away what earlier generations left, and a merge that died. Those who still read them keep them mapped."""
    keep = {base_of(folder, generation), tail_of(folder, generation)}
    for path in folder.iterdir():
        if path not in keep and path.name.startswith("base-"):
            shutil.rmtree(path, ignore_errors=True)
        elif path not in keep and path.name.startswith("tail-"):
            path.unlink(missing_ok=True)
