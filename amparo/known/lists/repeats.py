"""What a list says twice, and where it says it otherwise: told, never dropped.

An entry repeats an earlier one where the digest by which it is known (the MD5, else the SHA-1, the SHA-256, the PDQ, the
film) is the same; it contradicts it where, besides, both name a category and the two differ, or both name another digest
and those differ. Memory is bounded: the first two million different digests are remembered, and a later one that is not
among them is compared only with its neighbours, so that of a longer list the counts are at least what there is.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

REMEMBERED = 1 << 21
_CHUNK = 1 << 15
_MOST_CATEGORIES = 254  # numbered; all after them count as one
_DIGEST = (1 << 24) - 1

Keys = npt.NDArray[np.uint64]
Sayings = npt.NDArray[np.uint32]


class Repeats:
    """Counts as entries are noted; ``tell`` is called with the number of an entry and how it differs, in order."""

    def __init__(self, tell: Callable[[int, str], None]) -> None:
        self.repeated = self.contradicted = 0
        self._tell = tell
        self._categories: dict[str, int] = {}
        self._keys, self._sayings, self._numbers = array("Q"), array("I"), array("Q")
        self._seen: Keys = np.empty(0, np.uint64)
        self._said: Sayings = np.empty(0, np.uint32)

    def note(self, number: int, digest: bytes, other: bytes | None, category: str | None) -> None:
        """An entry with the digest by which it is known, another that it names, and its category."""
        said = 0 if other is None else int.from_bytes(other[:3], "big") or 1
        if category is not None:
            place = self._categories.get(category)
            if place is None:
                place = self._categories[category] = min(len(self._categories), _MOST_CATEGORIES) + 1
                if place > _MOST_CATEGORIES:
                    del self._categories[category]
            said |= place << 24
        self._keys.append(int.from_bytes(digest[:8], "big"))
        self._sayings.append(said)
        self._numbers.append(number)
        if len(self._keys) >= _CHUNK:
            self.settle()

    def note_bare(self, number: int, data: bytes, width: int) -> None:
        """Digests of ``width`` bytes one after another, of entries that say nothing else; ``number`` is the first's."""
        self.settle()
        heads = np.frombuffer(data, np.uint8).reshape(-1, width)[:, :8]
        keys = np.ascontiguousarray(heads).view(">u8").ravel().astype(np.uint64)
        self._take(keys, np.zeros(len(keys), np.uint32), np.arange(number, number + len(keys), dtype=np.uint64))

    def settle(self) -> None:
        """Count what was noted and not counted yet."""
        if not self._keys:
            return
        keys, sayings = np.frombuffer(self._keys, np.uint64), np.frombuffer(self._sayings, np.uint32)
        self._take(keys, sayings, np.frombuffer(self._numbers, np.uint64))
        del keys, sayings
        self._keys, self._sayings, self._numbers = array("Q"), array("I"), array("Q")

    def _take(self, keys: Keys, sayings: Sayings, numbers: Keys) -> None:
        order = np.argsort(keys, kind="stable")
        keys, sayings, numbers = keys[order], sayings[order], numbers[order]
        first = np.ones(len(keys), bool)
        first[1:] = keys[1:] != keys[:-1]
        begins = np.maximum.accumulate(np.where(first, np.arange(len(keys)), 0))
        before = sayings[begins]  # what the first of each digest in this chunk says
        place = np.searchsorted(self._seen, keys)
        known = np.zeros(len(keys), bool)
        inside = place < len(self._seen)
        known[inside] = self._seen[place[inside]] == keys[inside]
        before[known] = self._said[place[known]]
        again = known | ~first
        self.repeated += int(np.count_nonzero(again))
        category, digest = sayings >> 24, sayings & _DIGEST
        category_before, digest_before = before >> 24, before & _DIGEST
        other_category = again & (category != 0) & (category_before != 0) & (category != category_before)
        other_digest = again & (digest != 0) & (digest_before != 0) & (digest != digest_before)
        at = np.flatnonzero(other_category | other_digest)
        self.contradicted += len(at)
        for here in at[np.argsort(numbers[at])][:100]:
            self._tell(
                int(numbers[here]),
                "an earlier entry of the same content has another category"
                if other_category[here]
                else "an earlier entry with the same digest has another digest beside it",
            )
        new = np.flatnonzero(first & ~known)[: max(0, REMEMBERED - len(self._seen))]
        if len(new):
            self._seen = np.insert(self._seen, place[new], keys[new])
            self._said = np.insert(self._said, place[new], sayings[new])
