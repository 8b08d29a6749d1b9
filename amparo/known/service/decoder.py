"""What runs in a process that decodes: pictures come in, digests and fingerprints go out, and nothing else is reached from here.

The process has its pipe, and neither the index, the keys nor the port. It may write no file, open no connection that it was not
given, take no more memory than LIMIT, and overwrites what it frees. Whoever sent it a picture may stop it at any time.
"""

from __future__ import annotations

import contextlib
import io
import os
import socket
import struct
from typing import Final, NamedTuple

from amparo.child import confine
from amparo.digests import Together
from amparo.errors import AmparoError
from amparo.known import picture
from amparo.known.service.memory import overwrite_what_is_freed, wipe

MEMORY: Final = 2 << 30  # of address space, libraries and all
LIMITS: Final = picture.Limits(pixels=150_000_000, memory=3 << 28)
MOST_FRAMES: Final = 16  # of one file
LONGEST: Final = 1000  # characters of a sentence

SIZE: Final = struct.Struct("<Q")
DIGESTS: Final = struct.Struct("<16s20s32s")
ANSWER: Final = struct.Struct("<BI")  # which of the two, and how long it is
PRINTS, PROBLEM = 1, 2
PRINT: Final = struct.Struct("<B256s")  # quality, and the fingerprints of the eight turns
MOST_ANSWER: Final = max(MOST_FRAMES * PRINT.size, 4 * LONGEST)


class Looks(NamedTuple):
    """One picture of a file: its ``quality``, 0 to 100, and the fingerprints of its eight turns and flips."""

    quality: int
    forms: tuple[bytes, ...]


def work(pipe: socket.socket) -> None:
    """Decode one picture after another, until the pipe is closed."""
    confine(os.getppid())
    _tighten()
    overwrite_what_is_freed()
    pipe.setblocking(True)
    while (size := _size(pipe)) is not None:
        data = bytearray(size)
        if not _fill(pipe, data):
            return
        digests = Together()
        digests.update(memoryview(data))
        pipe.sendall(DIGESTS.pack(*map(bytes.fromhex, digests.hexdigests())))
        kind, answer = _decoded(data)
        pipe.sendall(ANSWER.pack(kind, len(answer)) + answer)


def _decoded(data: bytearray) -> tuple[int, bytes]:
    whole = io.BytesIO(data)
    wipe(data)
    try:
        found = picture.fingerprints(whole, MOST_FRAMES, LIMITS)
    except AmparoError as why:
        return PROBLEM, str(why)[:LONGEST].encode()
    except MemoryError:
        return PROBLEM, b"To decode the picture takes more memory than there is: examine it by itself."
    return PRINTS, b"".join(PRINT.pack(one.fingerprint.quality, b"".join(one.dihedral)) for one in found)


def _tighten() -> None:
    with contextlib.suppress(OSError):
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, 0)
        os.dup2(nowhere, 1)
        os.close(nowhere)
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # nothing is ever stored
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def _size(pipe: socket.socket) -> int | None:
    head = bytearray(SIZE.size)
    return int(SIZE.unpack(head)[0]) if _fill(pipe, head) else None


def _fill(pipe: socket.socket, room: bytearray) -> bool:
    view = memoryview(room)
    while view:
        with contextlib.suppress(InterruptedError):
            got = pipe.recv_into(view)
            if not got:
                return False
            view = view[got:]
    return True
