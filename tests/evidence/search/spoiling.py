"""Damage done to images, the same each time for the same seed."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import IO


class Spoiled:
    """An image and, in turn, its damaged forms. Only what is not zero is kept in memory, and mostly that is damaged.

    ``mend`` gives a block its right checksum again: most damage that is dealt to blocks that had one is hidden behind it, or it
    would never get past the check.
    """

    BLOCK = 4096

    def __init__(self, path: Path, mend: Callable[[bytes], bytes] | None = None) -> None:
        self.path, self.size, self.mend = path, path.stat().st_size, mend
        self.blocks: dict[int, bytes] = {}
        with path.open("rb") as file:
            for at in range(0, self.size, 1 << 16):
                piece = file.read(1 << 16)
                for inner in range(0, len(piece), self.BLOCK) if piece.strip(b"\0") else ():
                    block = piece[inner : inner + self.BLOCK]
                    if block.strip(b"\0"):
                        self.blocks[at + inner] = block
        places = sorted(self.blocks)
        # Headers lie in front; tables and records are of zeros and other bytes by halves, as contents are not.
        ruled = sorted(places, key=lambda place: abs(self.blocks[place].count(0) - self.BLOCK // 2))
        self.choices = places[:4], places[:16], places, ruled[:16], ruled[:48]

    def whole(self) -> None:
        """Write the image as it was."""
        with self.path.open("wb") as file:
            file.truncate(self.size)
            for at, block in self.blocks.items():
                file.seek(at)
                file.write(block)

    def damage(self, chance: random.Random) -> None:
        """Write the image with bits flipped, numbers made extreme, blocks swapped, or its end cut off."""
        self.whole()
        mending = self.mend is not None and chance.randrange(4) > 0
        places = self.choices[2]
        with self.path.open("r+b") as file:
            for _ in range(chance.choice((1, 1, 2, 4, 12, 40))):
                block = chance.choice(chance.choice(self.choices))
                at = block + chance.randrange(len(self.blocks[block]))
                act = chance.randrange(12)
                file.seek(at if act < 4 else at & ~3)
                if act < 4:
                    file.write(bytes([self.blocks[block][at - block] ^ 1 << chance.randrange(8)]))
                elif act < 9:
                    extreme = (
                        b"\xff" * 4,
                        b"\0" * 4,
                        b"\xff\xff\xff\x7f",
                        b"\x01\0\0\0",
                        chance.randbytes(4),
                        b"\xff" * 8,
                    )
                    file.write(chance.choice(extreme))
                elif act < 10:
                    file.seek(block)
                    file.write(self.blocks[chance.choice(places)])
                elif act < 11:
                    file.seek(block)
                    file.write(bytes(len(self.blocks[block])))
                else:
                    file.truncate(chance.randrange(1, self.size))
                if mending and act < 9:
                    self._mend(file, block)

    def _mend(self, file: IO[bytes], block: int) -> None:
        assert self.mend is not None
        before = self.blocks[block]
        file.seek(block)
        after = file.read(len(before))
        if len(after) == len(before) and self.mend(before) == before:
            file.seek(block)
            file.write(self.mend(after))
