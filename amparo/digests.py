"""MD5, SHA-1 and SHA-256 of one content, taken together.

Two implementations that give the same: OpenSSL's one after another, through hashlib; and a kernel of our own that weaves their
rounds into one pass, and those of two contents where it has two (``_digests.c``, built where a compiler is at hand, used
where the processor has SHA instructions). It takes a half to a third of the time; docs/performance.md has the measurement.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Protocol

try:
    from amparo import _digests as _kernel
except ImportError:  # no compiler was at hand when the package was installed
    _kernel = None  # type: ignore[assignment]


class Digests(Protocol):
    """Digests in the making, of one content, by one thread."""

    def update(self, data: bytes | memoryview, /) -> None:
        """Add the content's next bytes."""

    def hexdigests(self) -> tuple[str, str, str]:
        """MD5, SHA-1 and SHA-256 of all bytes so far, in lower hex."""


class OneAfterAnother:
    """The three digests by hashlib."""

    def __init__(self) -> None:
        self._all = (
            hashlib.md5(usedforsecurity=False),
            hashlib.sha1(usedforsecurity=False),
            hashlib.sha256(usedforsecurity=False),
        )

    def update(self, data: bytes | memoryview, /) -> None:
        for digest in self._all:
            digest.update(data)

    def hexdigests(self) -> tuple[str, str, str]:
        md5, sha1, sha256 = self._all
        return md5.hexdigest(), sha1.hexdigest(), sha256.hexdigest()


def woven() -> bool:
    """Whether the kernel is there and this processor can run it."""
    return _kernel is not None and _kernel.available()


def settle(digests: Iterable[Digests]) -> None:
    """Take what these contents still hold back, two at a time where the kernel runs.

    Never needed for the result, which is the same when each is asked by itself; it is quicker so.
    """
    if woven():
        _kernel.together(digests)


Together: type[Digests] = _kernel.Digests if woven() else OneAfterAnother
"""What readers use: the kernel where it runs, hashlib elsewhere."""
