"""Seeded fuzzing: cut and flipped containers of every kind. Nothing but an error of the house may come out, and soon."""

from __future__ import annotations

import bz2
import gzip
import lzma
import random
import time
from collections.abc import Callable

import pytest

from amparo.evidence import inside
from tests.evidence.inside.specimens import (
    PICTURE,
    a_7z,
    a_cab,
    a_catalogue,
    a_rar4,
    a_rar5,
    a_tar,
    a_thumbcache,
    a_zip,
    an_lzh,
    an_ole,
    by_libarchive,
    opened,
)

INNER = {"p.jpg": PICTURE, "t": a_tar({"q": b"hello"}), "z": a_zip({"q": b"hello" * 99}), "empty": b""}
LIMITS = inside.Limits(size=8 << 20, total=32 << 20, members=2_000)
KINDS: dict[str, Callable[[], bytes]] = {
    "zip": lambda: a_zip(INNER),
    "zip bzip2": lambda: a_zip(INNER, 12),
    "zip lzma": lambda: a_zip(INNER, 14),
    "tar": lambda: a_tar(INNER),
    "tar.gz": lambda: gzip.compress(a_tar(INNER)),
    "tar.bz2": lambda: bz2.compress(a_tar(INNER)),
    "tar.xz": lambda: lzma.compress(a_tar(INNER)),
    "7z": lambda: a_7z(INNER),
    "rar4": lambda: a_rar4(INNER),
    "rar5": lambda: a_rar5(INNER),
    "iso": lambda: by_libarchive(INNER, "iso9660"),
    "cab": lambda: a_cab(INNER),
    "lzh": lambda: an_lzh(INNER),
    "cpio": lambda: by_libarchive(INNER, "cpio"),
    "ar": lambda: by_libarchive(INNER, "ar_bsd"),
    "zst": lambda: by_libarchive(INNER, "pax", "zstd"),
    "Thumbs.db": lambda: an_ole({"Catalog": a_catalogue([(1, "a.jpg", 5)]), "1": b"\x0c\0\0\0" * 3 + PICTURE * 3}),
    "thumbcache": lambda: a_thumbcache(32, {"aa": PICTURE, "bb": PICTURE * 3}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_container_never_breaks_the_run(kind: str) -> None:
    whole = KINDS[kind]()
    path = "x.iso" if kind == "iso" else "Thumbs.db" if kind == "Thumbs.db" else "x"
    assert opened(whole, path).members
    rng = random.Random(kind)
    for round_ in range(70):
        data = bytearray(whole)
        if round_ % 3 == 0:
            del data[rng.randrange(16, len(data)) :]
        head = len(data) if round_ % 2 else min(len(data), 600)
        for _ in range(rng.choice((1, 2, 8, 40))):
            data[rng.randrange(8, head)] = rng.choice((0, 0xFF, 0x7F, 0x80, rng.randrange(256)))
        begun = time.monotonic()
        opened(bytes(data), path, limits=LIMITS)
        assert time.monotonic() - begun < 5, f"round {round_} of {kind}"


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_container_gives_the_same_numbers_every_time(kind: str) -> None:
    data = KINDS[kind]()
    path = "x.iso" if kind == "iso" else "Thumbs.db" if kind == "Thumbs.db" else "x"
    assert opened(data, path) == opened(data, path)


def test_rubbish_behind_every_mark_is_survived() -> None:
    rng = random.Random(11)
    marks = [
        b"PK\3\4",
        b"PK\5\6",
        b"\x1f\x8b\x08",
        b"BZh9",
        b"\xfd7zXZ\0",
        b"7z\xbc\xaf\x27\x1c",
        b"Rar!\x1a\x07\0",
        b"CMMM\x20\0\0\0",
    ]
    marks += [
        b"Rar!\x1a\x07\x01\0",
        b"MSCF\0\0\0\0",
        b"070701",
        b"!<arch>\n",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        b"\x28\xb5\x2f\xfd",
    ]
    for mark in marks:
        for _ in range(20):
            opened(mark + rng.randbytes(rng.randrange(2_000)), "Thumbs.db", limits=LIMITS)


def test_a_consumers_own_error_passes_through() -> None:
    import io

    def consume(*_: object) -> None:
        raise KeyError("the consumer's own")

    with pytest.raises(KeyError):
        inside.expand(io.BytesIO(a_zip({"a": b"1"})), None, "x", inside.Limits(), consume, lambda _: None)
