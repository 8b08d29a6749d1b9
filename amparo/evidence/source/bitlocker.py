"""BitLocker volumes of Windows Vista and later and of BitLocker To Go, opened with a password, a recovery key or a startup key.

libbde opens them too, but gives up where the first of the three copies of the metadata is damaged, and leaves out what lies past the end
of the file system. Sources: libbde's "BitLocker Drive Encryption (BDE) format specification"; N. Ferguson, "AES-CBC + Elephant
diffuser" (2006). A volume under conversion is read in its two parts, the encrypted one and the clear one.
"""

from __future__ import annotations

import struct
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from typing import NamedTuple

from amparo.errors import ReadFailed, SourceUnreadable
from amparo.evidence.source.bitlocker_keys import Candidate, Protector, candidates, entries, opened, unsealed
from amparo.evidence.source.device import Device
from amparo.evidence.source.sector_cipher import BitLockerCipher

SIGNATURE = b"-FVE-FS-"
_TO_GO = b"MSWIN4.1"
IDENTIFIER = bytes.fromhex("3bd66749292ed84a8399f6a339e3d001")
METADATA_SIZE = 65536
_VISTA_HEADER, _VISTA_METADATA = 16 * 512, 16384
_VMK, _FVEK, _HEADER_BLOCK = 2, 3, 15
_METHODS = {0x8000: ("cbc", 16, 16), 0x8001: ("cbc", 32, 32), 0x8002: ("cbc", 16, 0), 0x8003: ("cbc", 32, 0),
            0x8004: ("xts", 32, 0), 0x8005: ("xts", 64, 0)}  # fmt: skip
_PIECE = 1 << 16
_PIECES_KEPT = 32

DAMAGED = "The BitLocker volume is damaged and cannot be opened."


class _Metadata(NamedTuple):
    """One of the three copies."""

    version: int
    encrypted: int  # bytes from the start of the volume
    blocks: tuple[int, int, int]
    header_at: int  # where the volume's own first bytes were moved to; on Vista the cluster of the MFT's mirror
    header_size: int
    method: int
    protectors: tuple[Protector, ...]
    sealed_key: bytes
    whole: bool  # whether its checksum holds


def open_bitlocker(device: Device, keys: tuple[str, ...], secrets: tuple[bytes, ...]) -> BitLockerDevice:
    """The volume behind the first key that opens it.

    ``keys`` as they were given; ``secrets`` the same, read where a key names a file. Raises :class:`SourceUnreadable` where none
    opens it.
    """
    found, why = 0, DAMAGED
    given: list[Candidate] = [one for pair in zip(keys, secrets, strict=True) for one in candidates(*pair)]
    for metadata in sorted(_copies(device), key=lambda copy: not copy.whole):
        found += 1
        try:
            master = opened(metadata.protectors, given)
            if master is not None:
                return _device(device, metadata, master)
        except (ValueError, struct.error):
            continue
        except _NotSupported as error:
            why = str(error)
            break
    else:
        if found and not keys:
            why = "It is encrypted with BitLocker: give its password or recovery key with --key."
        elif found:
            why = "No key that was given opens the BitLocker volume."
    raise SourceUnreadable(why)


class _NotSupported(Exception):
    """A way of encrypting that is not known here."""


def _device(device: Device, metadata: _Metadata, master: bytes) -> BitLockerDevice:
    if metadata.method not in _METHODS:
        raise _NotSupported("The BitLocker volume is encrypted in a way that is not supported.")
    mode, length, tweak = _METHODS[metadata.method]
    material = unsealed(master, metadata.sealed_key)
    if material is None or len(material) < (64 if tweak else length):
        raise ValueError
    sector = int.from_bytes(device.read(0, 13)[11:13], "little")
    sector = sector if sector in (512, 1024, 2048, 4096) else 512
    cipher = BitLockerCipher(mode, material[:length], material[32 : 32 + tweak], sector)
    return BitLockerDevice(device, metadata, cipher)


# Metadata -------------------------------------------------------------------------------------------------------------


def _copies(device: Device) -> Iterator[_Metadata]:
    """The copies of the metadata that make sense; each names the places of all."""
    waiting, met = list(_places(device)), set[int]()
    while waiting:
        at = waiting.pop(0)
        if at in met or len(met) > 16:
            continue
        met.add(at)
        try:
            metadata = _parse(device.read(at, METADATA_SIZE))
        except (ReadFailed, struct.error, ValueError):
            continue
        waiting += metadata.blocks
        yield metadata


def _places(device: Device) -> tuple[int, ...]:
    """Where the first sector says that the metadata lie."""
    head = device.read(0, 512)
    if len(head) < 512:
        return ()
    if head[3:11] == _TO_GO:
        return struct.unpack_from("<3Q", head, 440)
    if head[:3] == b"\xeb\x52\x90":
        sector, cluster = struct.unpack_from("<HB", head, 11)
        return (struct.unpack_from("<Q", head, 56)[0] * sector * cluster,)
    return struct.unpack_from("<3Q", head, 176)


def _parse(raw: bytes) -> _Metadata:
    signature, size, version, _, _, encrypted, _, sectors, *places = struct.unpack_from("<8sHHHHQII4Q", raw)
    length, _, header, _, _, _, method = struct.unpack_from("<IIII16sII", raw, 64)
    if signature != SIGNATURE or version not in (1, 2) or header != 48 or length > len(raw) - 64:
        raise ValueError
    protectors, sealed, moved, moved_size = [], b"", places[3], sectors * 512
    for kind, value, data in entries(raw[64 + header : 64 + length]):
        if kind == _VMK and value == 8:
            identifier, _, _, protection = struct.unpack_from("<16sQHH", data)
            protectors.append(Protector(identifier, protection, tuple(entries(data[28:]))))
        elif kind == _FVEK and value == 5:
            sealed = data
        elif kind == _HEADER_BLOCK and version == 2 and len(data) >= 16:
            moved, moved_size = struct.unpack_from("<QQ", data)
    if not sealed or not protectors:
        raise ValueError
    blocks = (places[0], places[1], places[2])
    size *= 16 if version == 2 else 1
    whole = len(raw) >= size + 8 and zlib.crc32(raw[:size]).to_bytes(4, "little") == raw[size + 4 : size + 8]
    return _Metadata(
        version, encrypted, blocks, moved, moved_size or 8192, method & 0xFFFF, tuple(protectors), sealed, whole
    )


# The clear volume ---------------------------------------------------------------------------------------------------------


class BitLockerDevice:
    """The clear bytes of a BitLocker volume; decrypted as they are read, never written anywhere.

    Where the metadata lie, Windows itself shows zeros.
    """

    def __init__(self, device: Device, metadata: _Metadata, cipher: BitLockerCipher) -> None:
        self._device, self._metadata, self._cipher = device, metadata, cipher
        self.size = device.size // cipher.size * cipher.size
        self._vista = metadata.version == 1
        size = _VISTA_METADATA if self._vista else METADATA_SIZE
        self._hidden = [(at, at + size) for at in metadata.blocks if at]
        self._encrypted = self.size
        if not self._vista:
            self._hidden.append((metadata.header_at, metadata.header_at + metadata.header_size))
            self._encrypted = min(metadata.encrypted or self.size, self.size)
        self._moved = _VISTA_HEADER if self._vista else metadata.header_size
        self._pieces: OrderedDict[int, bytes] = OrderedDict()

    def read(self, offset: int, length: int) -> bytes:
        length = max(0, min(length, self.size - offset))
        first, last = offset // _PIECE, -(-(offset + length) // _PIECE)
        # Small reads near one another are the rule, and a diffused sector costs as much as a hundred of them at once.
        clear = b"".join(self._piece(number, last - first > 4) for number in range(first, last))
        return clear[offset - first * _PIECE :][:length]

    def _piece(self, number: int, passing: bool) -> bytes:
        if number in self._pieces:
            self._pieces.move_to_end(number)
            return self._pieces[number]
        clear = self._clear(number * _PIECE, min(_PIECE, self.size - number * _PIECE))
        if not passing:
            self._pieces[number] = clear
            if len(self._pieces) > _PIECES_KEPT:
                self._pieces.popitem(last=False)
        return clear

    def _clear(self, start: int, length: int) -> bytes:
        """A range of whole sectors, from wherever each part of it lies."""
        parts, at, end = [], start, start + length
        while at < end:
            stop = min([end, *(edge for edge in self._edges() if edge > at)])
            parts.append(self._part(at, stop - at))
            at = stop
        return b"".join(parts)

    def _edges(self) -> list[int]:
        return [self._moved, self._encrypted, *(edge for hidden in self._hidden for edge in hidden)]

    def _part(self, at: int, length: int) -> bytes:
        if at < self._moved:
            if self._vista:
                return self._vista_header()[at : at + length]
            return self._decrypted(self._metadata.header_at + at, length)
        if any(first <= at < last for first, last in self._hidden):
            return bytes(length)
        if at >= self._encrypted:
            return self._exactly(at, length)
        return self._decrypted(at, length)

    def _vista_header(self) -> bytes:
        raw = bytearray(self._exactly(0, _VISTA_HEADER))
        raw[3:11] = b"NTFS    "
        raw[56:64] = self._metadata.header_at.to_bytes(8, "little")
        return bytes(raw)

    def _decrypted(self, at: int, length: int) -> bytes:
        return self._cipher.decrypt(self._exactly(at, length), at)

    def _exactly(self, at: int, length: int) -> bytes:
        raw = self._device.read(at, length)
        if len(raw) < length:
            raise ReadFailed("The encrypted volume ends in the middle of a sector.")
        return raw

    def close(self) -> None:
        """Leave the device below open: others may be reading it."""
