"""The header of an HFS+ volume, the copy of it, what may wrap the volume, and whether its journal was played back.

Source: Apple's Technical Note TN1150, "HFS Plus Volume Format" (2004).
"""

from __future__ import annotations

import struct

from amparo.errors import ReadFailed, SourceUnreadable
from amparo.evidence.source.device import Device, Window

_JOURNALED = 1 << 13


def read(device: Device) -> tuple[bytes, int]:
    """The volume header, or its copy, and where the volume begins within what may wrap it.

    Raises :class:`SourceUnreadable`.
    """
    start = 0
    try:
        first = device.read(1024, 162)
        if first[:2] == b"BD" and first[124:126] == b"H+":
            (block,) = struct.unpack_from(">I", first, 20)
            (sectors,) = struct.unpack_from(">H", first, 28)
            before, count = struct.unpack_from(">HH", first, 126)
            start = sectors * 512 + before * block
            device = Window(device, start, count * block)
        elif first[:2] == b"BD":
            raise SourceUnreadable("It is an HFS volume of before 1998, which is not supported.")
    except ReadFailed:
        pass
    for at in (1024, device.size - 1024):
        try:
            head = device.read(max(0, at), 512)
        except ReadFailed:
            continue
        if is_header(head):
            return head, start
    raise SourceUnreadable("The HFS+ volume header is damaged, and so is its copy.")


def is_header(head: bytes) -> bool:
    """Whether these 512 bytes are a volume header that makes sense."""
    if len(head) < 512 or head[:2] not in (b"H+", b"HX") or head[2:4] not in (b"\0\4", b"\0\5"):
        return False
    block, count = struct.unpack_from(">II", head, 40)
    return 512 <= block <= 1 << 24 and not block & (block - 1) and count > 0


def journal(device: Device, head: bytes, start: int) -> list[str]:
    """What is to be told about the journal of the volume that has this header and begins at ``start``."""
    attributes, _, place = struct.unpack_from(">III", head, 4)
    (block,) = struct.unpack_from(">I", head, 40)
    if not attributes & _JOURNALED:
        return []
    try:
        (at,) = struct.unpack_from(">Q", device.read(place * block + start, 52), 36)
        raw = device.read(at + start, 24)
        order = "<" if raw[4:8] == b"\x78\x56\x34\x12" else ">"
        first, end = struct.unpack_from(f"{order}QQ", raw, 8)
    except (ReadFailed, struct.error):
        return ["The journal cannot be read: files are told as the volume itself has them."]
    if raw[:4] in (b"JNLx", b"xLNJ") and first != end:
        return ["The journal holds changes that were not yet made to the volume: files are told as before them."]
    return []
