"""The keys that the service knows: who may ask, how much, and how much is said to them.

A key is ``amparo_``, 12 characters that name it, ``_``, and 64 characters for 256 random bits. It is shown once, when it is made.
The file keeps the HMAC-SHA-256 of it under a salt of its own: a secret of 256 bits cannot be guessed, so a slow hash would
only slow the service. The file is read again whenever it changes, so that a key that was revoked is refused from then on; one
that others could read, or that cannot be understood, is refused as a whole, and with it every key.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import re
import secrets
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from amparo.clock import iso
from amparo.errors import UsedWrongly

SCOPES: Final = ("match", "match:list", "match:category", "match:entry", "match:how", "metrics")
"""``match``: whether it is known, and nothing else; ``match:list``, ``match:category``, ``match:entry``: which list, category
and entry know it; ``match:how``: the method, the distance, what agreed; ``metrics``: the service's counters."""

FORMAT, VERSION = "amparo provider keys", 1
MOST_KEYS: Final = 4096
_LARGEST = 1 << 24
_TOKEN = re.compile(rb"amparo_([0-9a-f]{12})_([0-9a-f]{64})")
_ID = re.compile(r"[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Key:
    """One key as it is kept. ``lists`` names those that it may see, None for all; ``per_minute`` and ``per_day`` are look-ups;
    ``at_once`` is how many of its requests each process of the service works on together. Times are ISO 8601."""

    id: str
    name: str
    salt: str
    hash: str
    scopes: tuple[str, ...]
    lists: tuple[str, ...] | None
    per_minute: int
    per_day: int
    at_once: int
    made: str
    expires: str | None = None
    revoked: str | None = None

    def is_live(self, now: datetime) -> bool:
        """Whether it is accepted at this moment."""
        return self.revoked is None and (self.expires is None or iso(now.replace(microsecond=0)) < self.expires)

    @property
    def may_match(self) -> bool:
        """Whether it may ask for matches."""
        return any(scope.partition(":")[0] == "match" for scope in self.scopes)

    @property
    def sees_hits(self) -> bool:
        """Whether it is told anything of what knows a content."""
        return any(scope.startswith("match:") for scope in self.scopes)


class KeyFile:
    """The file of keys: made, listed, revoked. Raises UsedWrongly where it cannot be read or written, or is not private."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def keys(self) -> list[Key]:
        """All keys, those revoked too, in the order in which they were made."""
        return _read(self.path) if self.path.exists() else []

    def make(
        self, name: str, scopes: Sequence[str], lists: Sequence[str] | None, now: datetime, per_minute: int = 60_000,
        per_day: int = 10_000_000, at_once: int = 16, expires: datetime | None = None,
    ) -> tuple[Key, str]:  # fmt: skip
        """A new key, and the words that whoever asks must send: they are kept nowhere."""
        if unknown := [scope for scope in scopes if scope not in SCOPES]:
            raise UsedWrongly(f"There is no scope {unknown[0]}: use {', '.join(SCOPES)}.")
        if not scopes:
            raise UsedWrongly(f"Name what the key may do with --scope: {', '.join(SCOPES)}.")
        with self._changing() as keys:
            if len(keys) >= MOST_KEYS:
                raise UsedWrongly(f"{self.path} holds {MOST_KEYS:,} keys already: take the revoked ones out.")
            number, secret, salt = secrets.token_hex(6), secrets.token_hex(32), secrets.token_hex(16)
            key = Key(
                number, name, salt, _hash(salt, secret.encode()), tuple(dict.fromkeys(scopes)),
                None if lists is None else tuple(dict.fromkeys(lists)), per_minute, per_day, at_once, iso(now),
                None if expires is None else iso(expires),
            )  # fmt: skip
            keys.append(key)
        return key, f"amparo_{number}_{secret}"

    def revoke(self, number: str, now: datetime) -> Key:
        """Refuse a key from now on. Raises UsedWrongly where there is none of this number."""
        with self._changing() as keys:
            for place, key in enumerate(keys):
                if key.id == number:
                    keys[place] = key if key.revoked else replace(key, revoked=iso(now))
                    return keys[place]
        raise UsedWrongly(f"There is no key {number} in {self.path}: amparo provider key list names those there are.")

    @contextlib.contextmanager
    def _changing(self) -> Iterator[list[Key]]:
        """The keys, written back once they were changed; one process changes them at a time."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _locked(self.path.with_name(f"{self.path.name}.lock")):
                keys = self.keys()
                yield keys
                self._write(keys)
        except OSError as error:
            raise UsedWrongly(f"The keys cannot be written to {self.path}: {error.strerror}.") from None

    def _write(self, keys: Sequence[Key]) -> None:
        text = json.dumps({"format": FORMAT, "version": VERSION, "keys": [asdict(key) for key in keys]}, indent=1)
        handle, partial = tempfile.mkstemp(
            prefix=f".{self.path.name}.", dir=self.path.parent
        )  # readable by its owner only
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            Path(partial).replace(self.path)
        except BaseException:
            Path(partial).unlink(missing_ok=True)
            raise


class KeyRing:
    """The keys of a file as they are now. ``problem`` is a sentence where the file cannot be used: then nobody is known."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, ...] | None = None
        self._keys: dict[str, Key] = {}
        self.problem: str | None = None
        self.refresh()

    def refresh(self) -> None:
        """Read the file again where it changed."""
        try:
            is_ = self._path.stat()
            seen: tuple[int, ...] = (is_.st_ino, is_.st_mtime_ns, is_.st_ctime_ns, is_.st_size)
        except OSError:
            seen = ()
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._keys = {key.id: key for key in _read(self._path)}
            self.problem = None
        except UsedWrongly as why:
            self._keys, self.problem = {}, str(why)

    def find(self, token: bytes, now: datetime) -> Key | None:
        """The live key that ``token`` is; it takes as long whether or not there is one of that number."""
        self.refresh()
        parts = _TOKEN.fullmatch(token)
        number, secret = (parts[1].decode(), parts[2]) if parts else ("", token[:128])
        key = self._keys.get(number, _NOBODY)
        right = hmac.compare_digest(_hash(key.salt, secret), key.hash)
        return key if right and key is not _NOBODY and key.is_live(now) else None


def _hash(salt: str, secret: bytes) -> str:
    return hmac.new(bytes.fromhex(salt), secret, hashlib.sha256).hexdigest()


# Stands in for a key that is not there, so that the same work is done; its secret is known to nobody.
_NOBODY: Final = Key("", "", "00" * 16, _hash("00" * 16, secrets.token_bytes(32)), (), (), 0, 0, 0, "")


def _read(path: Path) -> list[Key]:
    try:
        with path.open("rb") as stream:
            is_ = os.fstat(stream.fileno())
            if is_.st_mode & 0o077:
                raise UsedWrongly(f"Others than its owner may read or write {path}: make it private with chmod 600.")
            if is_.st_size > _LARGEST:
                raise ValueError
            read = json.loads(stream.read(_LARGEST + 1))
        if read["format"] != FORMAT or read["version"] != VERSION:
            raise ValueError
        return [_key(row) for row in read["keys"]]
    except OSError as error:
        raise UsedWrongly(
            f"The keys in {path} cannot be read ({error.strerror}): make one with amparo provider key make."
        ) from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UsedWrongly(f"{path} is not a file of keys, or is damaged: restore it, or make new keys.") from None


def _key(row: dict[str, Any]) -> Key:
    lists = row["lists"]
    key = Key(**{**row, "scopes": tuple(row["scopes"]), "lists": None if lists is None else tuple(lists)})
    texts = (key.id, key.name, key.salt, key.hash, key.made, *key.scopes, *(key.lists or ()))
    if not all(isinstance(text, str) for text in texts) or not _ID.fullmatch(key.id):
        raise ValueError
    if len(bytes.fromhex(key.hash)) != 32 or len(bytes.fromhex(key.salt)) < 16:
        raise ValueError
    if not all(type(count) is int and count >= 0 for count in (key.per_minute, key.per_day, key.at_once)):
        raise ValueError
    if not all(text is None or isinstance(text, str) for text in (key.expires, key.revoked)):
        raise ValueError
    return key


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    import fcntl

    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
