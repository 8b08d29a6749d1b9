"""AES over the sectors of a disk, as dm-crypt and BitLocker do it: XTS and CBC, many sectors at a time.

Sources: IEEE 1619-2007 (XTS); the Linux kernel's documentation of dm-crypt (the initial vectors plain, plain64 and essiv).
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

SECTOR = 512  # the unit in which sector numbers count, whatever the size of what is encrypted as one
_BLOCK = 16


class SectorCipher:
    """Decrypts whole sectors. ``name`` is dm-crypt's, such as ``aes-xts-plain64``; ``size`` that of a sector in bytes.

    Raises ValueError where the cipher is not one of these or the key does not fit it.
    """

    def __init__(self, name: str, key: bytes, size: int = SECTOR) -> None:
        cipher, mode, vector = [*name.split("-", 2), "", ""][:3]
        if cipher != "aes" or mode not in ("xts", "cbc") or size not in (512, 1024, 2048, 4096):
            raise ValueError(f"The cipher {name} is not supported.")
        if vector not in ("plain", "plain64") and not vector.startswith("essiv:"):
            raise ValueError(f"The cipher {name} is not supported.")
        self.size, self._vector, self._mode = size, vector, mode
        if mode == "xts":
            if len(key) not in (32, 64):
                raise ValueError("The key does not fit the cipher.")
            self._main, self._tweak = _ecb(key[: len(key) // 2]), _ecb(key[len(key) // 2 :])
        else:
            self._main = _ecb(key)
        if vector.startswith("essiv:"):
            self._essiv = _ecb(hashlib.new(vector[6:], key).digest())

    def decrypt(self, raw: bytes, number: int) -> bytes:
        """The clear bytes of whole sectors, the first of which has this number (counted in 512 bytes)."""
        count = len(raw) // self.size
        data = np.frombuffer(raw, np.uint64, count * self.size // 8).reshape(count, self.size // _BLOCK, 2)
        vectors = self._vectors(number, count)
        return (self._xts if self._mode == "xts" else self._cbc)(data, vectors).tobytes()

    def _vectors(self, number: int, count: int) -> npt.NDArray[np.uint64]:
        numbers = np.arange(count, dtype=np.uint64) * np.uint64(self.size // SECTOR) + np.uint64(number)
        if self._vector == "plain":
            numbers &= np.uint64(0xFFFFFFFF)
        vectors = np.zeros((count, 2), "<u8")
        vectors[:, 0] = numbers
        if self._vector.startswith("essiv:"):
            return _blocks(self._essiv.encryptor().update(vectors.tobytes()), count)
        return vectors

    def _xts(self, data: npt.NDArray[np.uint64], vectors: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        count, blocks, _ = data.shape
        tweak = _blocks(self._tweak.encryptor().update(vectors.tobytes()), count)
        low, high = tweak[:, 0].copy(), tweak[:, 1].copy()
        tweaks = np.empty_like(data)
        one, top, reduction = np.uint64(1), np.uint64(63), np.uint64(0x87)
        for index in range(blocks):  # each block's tweak is the last one times x in GF(2^128)
            tweaks[:, index, 0], tweaks[:, index, 1] = low, high
            carry = high >> top
            high = high << one | low >> top
            low = low << one ^ carry * reduction
        clear = _blocks(self._main.decryptor().update((data ^ tweaks).tobytes()), count * blocks)
        clear = clear.reshape(data.shape)
        clear ^= tweaks
        return clear

    def _cbc(self, data: npt.NDArray[np.uint64], vectors: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        count, blocks, _ = data.shape
        before = np.concatenate([vectors[:, None, :], data[:, :-1, :]], axis=1)
        clear = _blocks(self._main.decryptor().update(data.tobytes()), count * blocks)
        clear = clear.reshape(data.shape)
        clear ^= before
        return clear


class BitLockerCipher(SectorCipher):
    """As BitLocker does it: ``mode`` is ``xts`` or ``cbc``, and with a ``tweak`` key the Elephant diffuser lies over CBC.

    Source: N. Ferguson, "AES-CBC + Elephant diffuser: A Disk Encryption Algorithm for Windows Vista" (2006).
    """

    def __init__(self, mode: str, key: bytes, tweak: bytes = b"", size: int = SECTOR) -> None:
        super().__init__(f"aes-{mode}-plain64", key, size)
        self._sector_key = _ecb(tweak) if tweak else None

    def decrypt(self, raw: bytes, number: int) -> bytes:
        """The clear bytes of whole sectors, the first of which begins at the byte ``number`` of the volume."""
        clear = super().decrypt(raw, number)
        if self._sector_key is None:
            return clear
        count = len(raw) // self.size
        words = np.frombuffer(clear, "<u4").reshape(count, -1).T.astype(np.uint32)
        _undiffuse(words, 3, 1, (0, 10, 0, 25))
        _undiffuse(words, 5, -1, (9, 0, 13, 0))
        halves = np.zeros((count, 2, 2), "<u8")
        halves[:, :, 0] = self._offsets(number, count)[:, None]
        halves[:, 1, 1] = 0x80 << 56
        keys = np.frombuffer(self._sector_key.encryptor().update(halves.tobytes()), "<u4").reshape(count, 8)
        out: npt.NDArray[np.uint32] = words.T ^ np.tile(keys, self.size // 32)
        return out.astype("<u4").tobytes()

    def _offsets(self, first: int, count: int) -> npt.NDArray[np.uint64]:
        return np.arange(count, dtype=np.uint64) * np.uint64(self.size) + np.uint64(first)

    def _vectors(self, number: int, count: int) -> npt.NDArray[np.uint64]:
        vectors = np.zeros((count, 2), "<u8")
        vectors[:, 0] = self._offsets(number, count)
        if self._mode == "xts":
            vectors[:, 0] //= np.uint64(self.size)
            return vectors
        return _blocks(self._main.encryptor().update(vectors.tobytes()), count)


def _undiffuse(words: npt.NDArray[np.uint32], cycles: int, way: int, turns: tuple[int, ...]) -> None:
    """Undo one diffuser: B looks ahead (``way`` 1), A looks back. One row for each word, one column for each sector."""
    count = len(words)
    for _ in range(cycles):
        for index in range(count):
            far, turn = words[(index + 5 * way) % count], turns[index % 4]
            if turn:
                far = far << np.uint32(turn) | far >> np.uint32(32 - turn)
            words[index] += words[(index + 2 * way) % count] ^ far


def _ecb(key: bytes) -> Cipher[modes.ECB]:
    return Cipher(algorithms.AES(key), modes.ECB())  # noqa: S305  XTS, CBC and ESSIV are built of single blocks


def _blocks(raw: bytes, count: int) -> npt.NDArray[np.uint64]:
    blocks: npt.NDArray[np.uint64] = np.frombuffer(raw, "<u8").reshape(count, 2).astype(np.uint64)
    return blocks
