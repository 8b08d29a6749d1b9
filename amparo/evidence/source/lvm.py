"""LVM2: the logical volumes on one physical volume, put together from its metadata.

Layout after the LVM2 sources (``label.h``, ``layout.h``, ``import_vsn1.c``) and libvslvm's description of the format. That library is
not used because it opens no logical volume of more than one segment, which is what every extended volume has.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from amparo.errors import ReadFailed, SourceUnreadable
from amparo.evidence.source.device import Device

_SECTOR = 512
_LABEL_SECTORS = 4
_MARK = b" LVM2 x[5A%r0N*>"
LARGEST_TEXT = 16 << 20
LARGEST_VOLUME = 1 << 50
MOST_SEGMENTS = 100_000
DEEPEST = 16

_TOKEN = re.compile(r'#[^\n]*|"((?:[^"\\]|\\.)*)"|(-?\d+(?:\.\d+)?)|([A-Za-z0-9_.+-]+)|([{}=\[\],])|\s+|(.)', re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Piece:
    start: int
    size: int
    offset: int


@dataclass(slots=True)
class LogicalVolume:
    """One logical volume. ``problem`` says, in a sentence, why it cannot be put together."""

    name: str
    size: int = 0
    pieces: list[_Piece] = field(default_factory=list)
    problem: str | None = None


class LogicalDevice:
    """The bytes of a logical volume, each taken from where its extent lies on the physical one."""

    def __init__(self, device: Device, volume: LogicalVolume) -> None:
        self._device, self._pieces, self.size = device, volume.pieces, volume.size

    def read(self, offset: int, length: int) -> bytes:
        end = offset + max(0, min(length, self.size - offset))
        found: list[bytes] = []
        for piece in self._pieces:
            first, last = max(offset, piece.start), min(end, piece.start + piece.size)
            if first < last:
                data = self._device.read(piece.offset + first - piece.start, last - first)
                if len(data) < last - first:
                    raise ReadFailed("The logical volume runs past the end of its disk.")
                found.append(data)
        return b"".join(found)

    def close(self) -> None:
        """Leave the device below open: others may be reading it."""


def logical_volumes(device: Device) -> list[LogicalVolume]:
    """The logical volumes of the group that this disk belongs to. Raises :class:`SourceUnreadable` where there is no telling."""
    identity, areas = _label(device)
    for offset, size in areas:
        for text in _texts(device, offset, size):
            try:
                return _volumes(_parsed(text), identity)
            except (KeyError, ValueError, TypeError, AttributeError, IndexError, OverflowError):
                continue
    raise SourceUnreadable("The LVM volume group is damaged: its metadata cannot be read.")


def _label(device: Device) -> tuple[str, list[tuple[int, int]]]:
    """The physical volume's own name, and where its metadata lies."""
    head = device.read(0, _LABEL_SECTORS * _SECTOR)
    for at in range(0, len(head) - _SECTOR + 1, _SECTOR):
        sector = head[at : at + _SECTOR]
        start = int.from_bytes(sector[20:24], "little")
        if sector[:8] != b"LABELONE" or sector[24:32] != b"LVM2 001" or not 32 <= start <= _SECTOR - 40:
            continue
        lists: list[list[tuple[int, int]]] = [[], []]  # data areas, metadata areas
        place = start + 40
        for area in lists:
            while place + 16 <= _SECTOR:
                offset, size = struct.unpack_from("<QQ", sector, place)
                place += 16
                if not offset:
                    break
                area.append((offset, size))
        return sector[start : start + 32].decode("ascii", "replace"), lists[1]
    raise SourceUnreadable("The LVM label is damaged.")


def _texts(device: Device, offset: int, size: int) -> Iterator[str]:
    """The metadata of one area: it is written round and round, so a text may go on at the area's beginning."""
    head = device.read(offset, _SECTOR)
    if head[4:20] != _MARK:
        return
    size = min(size or LARGEST_TEXT, LARGEST_TEXT, device.size - offset)
    for at in range(40, _SECTOR - 24, 24):
        start, length = struct.unpack_from("<QQ", head, at)
        if not start or not 0 < length <= size or start >= size:
            return
        raw = device.read(offset + start, min(length, size - start))
        raw += device.read(offset + _SECTOR, length - len(raw)) if len(raw) < length else b""
        yield raw.split(b"\0", 1)[0].decode("utf-8", "backslashreplace")


def _parsed(text: str) -> dict[str, Any]:
    """The configuration text: ``name { … }``, ``name = value``, ``name = [ values ]``. Raises ValueError."""
    root: dict[str, Any] = {}
    stack, key, values, assigned = [root], "", None, False
    for match in _TOKEN.finditer(text):
        string, number, word, sign, stray = match.groups()
        if stray:
            raise ValueError("stray character")
        if string is None and number is None and word is None and sign is None:
            continue  # white space or a comment
        if sign == "{":
            stack.append(stack[-1].setdefault(key, {}))
            if len(stack) > DEEPEST:
                raise ValueError("nested too deep")
        elif sign == "}":
            stack.pop()
        elif sign == "=":
            assigned = True
        elif sign == "[":
            values = stack[-1][key] = list[Any]()
        elif sign == "]":
            values, assigned = None, False
        elif sign == ",":
            continue
        elif values is not None:
            values.append(string if string is not None else int(number) if number else word)
        elif assigned:
            stack[-1][key] = string if string is not None else int(float(number)) if number else word
            assigned = False
        else:
            key = word or number or string or ""
    return root


def _volumes(described: dict[str, Any], identity: str) -> list[LogicalVolume]:
    groups = [value for value in described.values() if isinstance(value, dict) and "physical_volumes" in value]
    if not groups:
        raise ValueError("no group")
    group = groups[0]
    extent = int(group["extent_size"]) * _SECTOR
    ours: dict[str, int] = {}
    for name, physical in group["physical_volumes"].items():
        if physical["id"].replace("-", "") == identity:
            ours[name] = int(physical["pe_start"]) * _SECTOR
    if extent <= 0:
        raise ValueError("extent size")
    found = []
    for name, logical in group.get("logical_volumes", {}).items():
        segments = [value for key, value in logical.items() if key.startswith("segment") and isinstance(value, dict)]
        if not any(segment["type"] == "snapshot" for segment in segments):
            found.append(_volume(name, segments[:MOST_SEGMENTS], extent, ours))
    return found


def _volume(name: str, segments: list[dict[str, Any]], extent: int, ours: dict[str, int]) -> LogicalVolume:
    volume = LogicalVolume(name)
    for segment in sorted(segments, key=lambda one: int(one["start_extent"])):
        kind, start, count = segment["type"], int(segment["start_extent"]), int(segment["extent_count"])
        if kind not in ("striped", "linear") or int(segment.get("stripe_count", 1)) != 1:
            kept = (
                "what it is made of is listed beside it"
                if kind not in ("striped", "linear")
                else "it needs its other disks"
            )
            volume.problem = f"The logical volume “{name}” ({kind}) cannot be put together here: {kept}."
            break
        on, first = segment["stripes"][0], int(segment["stripes"][1])
        if on not in ours:
            volume.problem = f"The logical volume “{name}” lies in part on another disk: what lies here was not listed."
            break
        if start * extent != volume.size or count <= 0 or first < 0 or volume.size + count * extent > LARGEST_VOLUME:
            volume.problem = f"The logical volume “{name}” is described with gaps: its metadata is damaged."
            break
        volume.pieces.append(_Piece(volume.size, count * extent, ours[on] + first * extent))
        volume.size += count * extent
    return volume
