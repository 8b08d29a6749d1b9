"""Images to test with: made by ewfacquire and qemu-img, or put together here where a tool cannot make the case."""

from __future__ import annotations

import random
import shutil
import struct
import subprocess
import zlib
from pathlib import Path

import pytest

from amparo.errors import ReadFailed
from amparo.evidence.source.device import Device

MARK = b"EVF\x09\x0d\x0a\xff\x00"
CHUNK = 32768


def needs(tool: str) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")


def disk(seed: int, size: int) -> bytes:
    """Noise, text, zeros and half-filled blocks by turns, so that every way of storing a block occurs."""
    chance = random.Random(seed)
    pieces = []
    for _ in range(-(-size // 65536)):
        kind = chance.randrange(4)
        if kind == 0:
            pieces.append(chance.randbytes(65536))
        elif kind == 1:
            pieces.append(bytes(chance.choices(b"abcde fghij\n", k=4096)) * 16)
        elif kind == 2:
            pieces.append(chance.randbytes(4096) + bytes(61440))
        else:
            pieces.append(bytes(65536))
    return b"".join(pieces)[:size]


def acquire(folder: Path, content: bytes, form: str = "encase6", compression: str = "fast", *more: str) -> Path:
    """An E01 set by ewfacquire; the first segment."""
    needs("ewfacquire")
    folder.mkdir(exist_ok=True)
    raw = folder / "disk.raw"
    raw.write_bytes(content)
    command = ["ewfacquire", "-q", "-u", "-f", form, "-c", compression, "-S", "1MiB", *more, "-t", folder / "set", raw]
    subprocess.run(command, check=True, capture_output=True)
    raw.unlink()
    return next(path for path in sorted(folder.iterdir()) if path.suffix.lower() in (".e01", ".s01"))


def convert(raw: Path, to: Path, kind: str, options: str = "", *more: str) -> Path:
    needs("qemu-img")
    to.parent.mkdir(exist_ok=True)
    command = ["qemu-img", "convert", "-O", kind, *more, *(["-o", options] if options else []), raw, to]
    subprocess.run(command, check=True, capture_output=True)
    return to


def whole(device: Device, step: int = 1 << 20) -> bytes:
    return b"".join(device.read(at, step) for at in range(0, device.size, step))


def salvaged(device: Device, step: int = CHUNK) -> list[bytes | None]:
    """Every chunk, or None for one that cannot be read."""
    chunks: list[bytes | None] = []
    for at in range(0, device.size, step):
        try:
            chunks.append(device.read(at, step))
        except ReadFailed:
            chunks.append(None)
    return chunks


def chunks_of(content: bytes, step: int = CHUNK) -> list[bytes]:
    return [content[at : at + step] for at in range(0, len(content), step)]


# E01, section by section -----------------------------------------------------------------------------------------------


def sealed(data: bytes) -> bytes:
    return data + struct.pack("<I", zlib.adler32(data))


def section(kind: bytes, at: int, content: bytes = b"", last: bool = False) -> bytes:
    length = 76 + len(content)
    return sealed(struct.pack("<16sQQ40x", kind, at if last else at + length, length)) + content


def volume(size: int, identifier: bytes = b"one set of files") -> bytes:
    head = struct.pack("<IIIIQ", 1, -(-size // CHUNK), CHUNK // 512, 512, size // 512)
    return sealed((head.ljust(64, b"\0") + identifier).ljust(1048, b"\0"))


def table(offsets: list[int], base: int = 0) -> bytes:
    entries = struct.pack(f"<{len(offsets)}I", *offsets)
    return sealed(struct.pack("<I4xQ4x", len(offsets), base)) + sealed(entries)


def segments(
    folder: Path, content: bytes, each: int, store: bool = False, identifiers: tuple[bytes, ...] = ()
) -> list[Path]:
    """A set with ``each`` chunks a segment, every chunk compressed unless ``store``."""
    parts = [chunks_of(content)[at : at + each] for at in range(0, -(-len(content) // CHUNK), each)]
    paths = []
    for number, part in enumerate(parts, 1):
        data = MARK + struct.pack("<BHH", 1, number, 0)
        identifier = identifiers[number - 1] if identifiers else b"one set of files"
        data += section(b"volume" if number == 1 else b"data", len(data), volume(len(content), identifier))
        kept, offsets, at = [], [], len(data) + 76
        for chunk in part:
            kept.append(sealed(chunk) if store else zlib.compress(chunk, 1))
            offsets.append(at | (0 if store else 0x80000000))
            at += len(kept[-1])
        data += section(b"sectors", len(data), b"".join(kept))
        data += section(b"table", len(data), table(offsets))
        data += section(b"table2", len(data), table(offsets))
        data += section(b"done" if number == len(parts) else b"next", len(data), last=True)
        number -= 1
        name = f"E{number + 1:02}" if number < 99 else f"E{chr(65 + (number - 99) // 26)}{chr(65 + (number - 99) % 26)}"
        paths.append(folder / f"set.{name}")
        paths[-1].write_bytes(data)
    return paths


def place(path: Path, kind: bytes) -> int:
    """Where the first section of a kind begins."""
    data = path.read_bytes()
    at = 13
    while True:
        name, following = struct.unpack_from("<16sQ", data, at)
        if name.split(b"\0")[0] == kind:
            return at
        assert following > at, f"no {kind!r}"
        at = following


def spoil(path: Path, at: int, data: bytes = b"\xff\x00\xff\x00") -> None:
    """Overwrite some bytes, so that they surely differ."""
    with path.open("r+b") as file:
        file.seek(at)
        before = file.read(len(data))
        file.seek(at)
        file.write(bytes(one ^ 0x5A for one in before) if before == data else data)
