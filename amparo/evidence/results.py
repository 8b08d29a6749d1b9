"""What the readings gave, on its way into the working tables; what lists of known material say of it is told at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amparo.evidence.fingerprints import Print
from amparo.evidence.plan import Plan
from amparo.evidence.reading import Additions
from amparo.evidence.task import Found, Row
from amparo.evidence.watcher import Watcher
from amparo.evidence.worker import FileRead, Plain
from amparo.known.film_features import QUALITY, Frame

if TYPE_CHECKING:
    from amparo.known.index import KnownIndex


class Results:
    """Keeps findings in the ``plan``, within the transaction that is open, and matches each with ``known``."""

    def __init__(self, plan: Plan, known: KnownIndex | None, watcher: Watcher) -> None:
        self._plan, self._known, self._watcher = plan, known, watcher

    def problem(self, stage: str, path: str | None, message: str) -> None:
        self._plan.problem(stage, path, message)
        self._watcher.problem(stage, path, message)

    def keep_file(self, row: Row, result: FileRead | Plain) -> None:
        number, path = row[0], row[2]
        if isinstance(result, FileRead):
            self.keep_reading(number, path, result)
        else:
            self._keep_found(number, path, Found(result[0], result[1], result[2], result[3], None))

    def keep_reading(self, file: int, path: str, result: FileRead) -> None:
        self._keep_found(file, path, result.found)
        for stage, message in result.problems:
            self.problem(stage, path, message)
        holders: dict[tuple[int, ...], tuple[int, str]] = {(): (file, path)}
        for member in result.members:
            holder, above = holders.get(member.trail[:-1], (file, path))
            place = f"{above}/{member.path}"
            row = self._plan.add_inside(holder, member)
            holders[member.trail] = (row, place)
            self._keep_found(row, place, member.found)

    def _keep_found(self, file: int, path: str, found: Found) -> None:
        self._plan.add_reading(file, found, self._match(file, path, found))
        if found.additions:
            self.keep_additions(file, path, found.additions)

    def keep_additions(self, file: int, path: str, additions: tuple[Additions, ...]) -> None:
        self._plan.add_additions(file, path, additions)
        if self._known is not None and self._known.has_fingerprints:
            self._match_alike(file, path, [p for more in additions for p in more.prints])

    def _match_alike(self, file: int, path: str, prints: list[Print]) -> None:
        """Keep every entry whose picture or film looks alike. One that a digest found already is not told again."""
        assert self._known is not None
        pictures = [p for p in prints if p.seconds is None and p.quality >= QUALITY]
        alike = self._known.look_alikes([p.forms for p in pictures]) if pictures else []
        hits = [(p.quality, hit) for p, found in zip(pictures, alike, strict=True) for hit in found]
        frames = [Frame(p.frame, p.seconds, p.bits, p.quality) for p in prints if p.seconds is not None]
        if frames:
            hits += [(hit.share[0] if hit.share else 0, hit) for hit in self._known.films_alike(frames)]
        for quality, hit in hits:
            if self._plan.add_match(file, hit, quality):
                self._watcher.matched(path, hit)

    def _match(self, file: int, path: str, found: Found) -> str | None:
        """Keep every match with a list, tell it at once, and give the list that calls the content ordinary."""
        if self._known is None or found.md5 is None:
            return None
        good = None
        for hit in self._known.lookup(
            bytes.fromhex(found.md5), bytes.fromhex(found.sha1 or ""), bytes.fromhex(found.sha256 or "")
        ):
            if hit.good:
                good = good or hit.list
                continue
            self._plan.add_match(file, hit)
            self._watcher.matched(path, hit)
        return good
