"""Damage done to images, the same each time for the same seed."""

from __future__ import annotations

import random
from pathlib import Path


class Spoiled:
    """An image and, in turn, its damaged forms. Only what is not zero is kept in memory, and mostly that is damaged."""

    BLOCK = 4096

    def __init__(self, path: Path) -> None:
        self.path, self.size = path, path.stat().st_size
        self.blocks: dict[int, bytes] = {}
        with path.open("rb") as file:
            for at in range(0, self.size, 1 << 16):
                piece = file.read(1 << 16)
                for inner in range(0, len(piece), self.BLOCK) if piece.strip(b"\0") else ():
                    block = piece[inner : inner + self.BLOCK]
                    if block.strip(b"\0"):
                        self.blocks[at + inner] = block

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
        places = sorted(self.blocks)
        with self.path.open("r+b") as file:
            for _ in range(chance.choice((1, 1, 2, 4, 12, 40))):
                block = chance.choice(places[: chance.choice((4, 16, len(places)))])
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
