"""The seals that a package had before the present one, each kept whole in the act that replaced it.

Only the report of a sealed package is ever replaced. So the manifest that an earlier seal covered is the present one with
the earlier reports put back, and its digest shows whether that was so: whoever seals a package again with a key of their
own can neither change a table or a content, nor hide behind the name of who sealed it before.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from amparo.errors import PackageWrong
from amparo.evidence import bag, custody, seal

SEALED_AGAIN = "sealed again"  # the act that keeps the seal before it
MOST = 1000  # seals of one package
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)


class Earlier(NamedTuple):
    """``number`` of the act that replaced the seal, the ``fingerprint`` of its key, the digest of the ``manifest`` that it
    covered, and the digest of each report that was ``replaced`` then, None where there was none."""

    number: int
    fingerprint: str
    manifest: str
    replaced: dict[bytes, str | None]


def read(act: custody.Act, ledger: str, training: object) -> Earlier:
    """The seal that ``act`` keeps. It must hold, and have covered the ledger as it was until then: ``ledger`` is the
    digest of the lines before. Raises PackageWrong."""
    kept, tagmanifest = act.details.get("seal"), act.details.get("tagmanifest")
    try:
        if not isinstance(kept, dict) or not isinstance(tagmanifest, str):
            raise PackageWrong("It is not kept.")
        covered = tagmanifest.encode("utf-8", "replace")
        earlier = seal.Seal.read(custody.canonical(kept) + b"\n")
        listed = {entry.path.decode(): entry.digest for entry in bag.entries(io.BytesIO(covered), bag.TAGMANIFEST)}
        if not earlier.covers(covered) or tuple(listed) != bag.TAGGED or listed[bag.LEDGER] != ledger:
            raise PackageWrong("It does not fit the acts before it.")
        if earlier.values["training"] is not training:
            raise PackageWrong("It differs on whether the package was made for training.")
        replaced = _replaced(act.details.get("replaced"))
    except (PackageWrong, UnicodeDecodeError) as error:
        raise PackageWrong(f"custody.jsonl: the earlier seal in line {act.number} is wrong: {error}") from error
    return Earlier(act.number, str(earlier.values["fingerprint"]), listed[bag.MANIFEST], replaced)


def _replaced(given: Any) -> dict[bytes, str | None]:
    if not isinstance(given, dict) or not set(given) <= set(bag.REPORTS):
        raise PackageWrong("More than the report was replaced.")
    if not all(value is None or (isinstance(value, str) and _DIGEST.fullmatch(value)) for value in given.values()):
        raise PackageWrong("It does not say which report was replaced.")
    return {name.encode(): value for name, value in given.items()}


class Rebuilding:
    """The manifests that the earlier seals covered, built anew from the lines of the present one."""

    def __init__(self, earlier: Sequence[Earlier]) -> None:
        self._earlier = list(earlier)
        self._reports = {name.encode() for name in bag.REPORTS}
        # They are all alike until the first report, which comes late: one digest stands for all until then.
        self._alike: Any = hashlib.sha256()
        self._apart: list[Any] = []

    def add(self, entry: bag.Entry) -> None:
        """The present manifest's next line."""
        line = bag.line_of(entry)
        if entry.path not in self._reports:
            for digest in self._apart or (self._alike,):
                digest.update(line)
            return
        self._apart = self._apart or [self._alike.copy() for _ in self._earlier]
        was: str | None = entry.digest
        for earlier, digest in zip(reversed(self._earlier), reversed(self._apart), strict=True):
            was = earlier.replaced.get(entry.path, was)
            if was is not None:
                digest.update(bag.line_of(bag.Entry(entry.path, was)))

    def check(self) -> None:
        """Raises PackageWrong where an earlier seal covered anything else than this, but for the report."""
        digests = self._apart or [self._alike] * len(self._earlier)
        for earlier, digest in zip(self._earlier, digests, strict=True):
            if digest.hexdigest() != earlier.manifest:
                raise PackageWrong(
                    f"What was sealed in line {earlier.number} of custody.jsonl is not what had been sealed before, by the key"
                    f" {earlier.fingerprint}: more than the report was changed."
                )
