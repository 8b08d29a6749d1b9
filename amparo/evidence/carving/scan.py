"""The sweep of free space: where a file may begin, how far it may reach, and what looking may cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from amparo.errors import ReadFailed, UsedWrongly
from amparo.evidence.carving.kinds import HEAD, KINDS, Kind
from amparo.evidence.carving.reach import Absences, Broken, Exhausted, Outline, Reach
from amparo.evidence.source.device import SECTOR, Device, missing_until

BLOCK: Final = 8 << 20
"""Bytes read at a time while looking for candidates."""
LARGEST_STEP: Final = 1 << 20
RESERVE: Final = 256 << 20
"""Work, in bytes, that false candidates of one kind may cost beyond what the scan earns."""
EARNED: Final = 1
"""Work that each byte scanned earns for each kind."""
FLOOR: Final = 8 << 10
"""Work that any candidate may cost, even where its kind has used up everything else."""

_FIRST_TWO = np.zeros(1 << 16, dtype=np.bool_)
for _kind in KINDS:
    for _offset, _mark in _kind.marks:
        if _offset == 0:
            _FIRST_TWO[int.from_bytes(_mark[:2], "little")] = True
_FTYP = int.from_bytes(b"ftyp", "little")

Problem = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class Carved:
    """A whole file in free space: ``offset`` in the device and ``length`` in bytes, media type, short name of format."""

    offset: int
    length: int
    mime: str
    kind: str


def carve(
    device: Device,
    free: Iterable[tuple[int, int]],
    *,
    step: int = SECTOR,
    alignment_origin: int = 0,
    until: int | None = None,
    on_problem: Problem | None = None,
) -> Iterator[Carved]:
    """The files found in ``free`` (ascending (offset, length) pairs in bytes of the device), in address order.

    A file begins ``alignment_origin`` plus a multiple of ``step`` bytes behind the start of a free range, and lies in
    one piece wholly in free bytes; ranges that touch are one run. What lies inside a file found is not reported again.
    It begins before ``until``, where this is given: what lies behind is only read for a file that reaches into it.
    Overlapping ranges are read once; what lies past the end of the device is left out.

    What the medium cannot give is stepped over ``step`` bytes at a time and told to ``on_problem(offset, length,
    sentence)``; so is, once a kind, that false candidates used up what looking may cost.
    Raises UsedWrongly where ``step`` or the order of the ranges is not usable.
    """
    if not 1 <= step <= LARGEST_STEP:
        raise UsedWrongly(f"The carving step is {step} bytes; give one from 1 to {LARGEST_STEP}, usually 512.")
    sweep = _Sweep(device, step, on_problem or _silent, device.size if until is None else until)
    for run in _runs(free, step, alignment_origin, device.size):
        yield from sweep.run(run)


def _silent(offset: int, length: int, message: str) -> None:
    """Nobody asked to hear of problems."""


@dataclass(slots=True)
class _Run:
    """Free bytes in one piece: its end, and the stretches (begin, end) of it that share a grid of candidates."""

    end: int
    grids: list[tuple[int, int]]


def _runs(free: Iterable[tuple[int, int]], step: int, origin: int, size: int) -> Iterator[_Run]:
    run: _Run | None = None
    latest = 0
    for offset, length in free:
        if offset < latest or length < 0:
            raise UsedWrongly(f"The free range at {offset} comes out of order; give the ranges by ascending offset.")
        latest = offset
        begin, end = offset + origin % step, min(offset + length, size)
        if end <= offset:
            continue
        if run is None or offset > run.end:
            if run is not None:
                yield run
            run = _Run(end, [(begin, end)])
            continue
        if end <= run.end:
            continue
        last_begin, last_end = run.grids[-1]
        if (begin - last_begin) % step == 0:
            run.grids[-1] = (last_begin, end)
        else:
            begin += -(-max(0, last_end - begin) // step) * step
            run.grids.append((begin, end))
        run.end = end
    if run is not None:
        yield run


@dataclass(slots=True)
class _Allowances:
    """What looking at candidates may still cost, for each kind by itself."""

    left: dict[str, int] = field(default_factory=lambda: {kind.name: RESERVE for kind in KINDS})

    def earn(self, scanned: int) -> None:
        for name in self.left:
            self.left[name] += scanned * EARNED

    def of(self, kind: Kind) -> int:
        return max(FLOOR, self.left[kind.name])

    def pay(self, kind: Kind, work: int) -> None:
        self.left[kind.name] = max(0, self.left[kind.name] - max(0, work))


class _Sweep:
    def __init__(self, device: Device, step: int, on_problem: Problem, until: int) -> None:
        self.device, self.step, self.on_problem, self.until = device, step, on_problem, until
        self.absences, self.allowances = Absences(), _Allowances()
        self.told: set[str] = set()
        self.span = max(1, BLOCK // step) * step

    def run(self, run: _Run) -> Iterator[Carved]:
        found_end = 0
        for begin, end in run.grids:
            at = begin
            while at + HEAD <= end:
                at = _on_grid(max(at, found_end), begin, self.step)
                # A head may reach over the block's end, so a little more than the block is read.
                length = min(self.span + HEAD, run.end - at, self.until - at + HEAD)
                if length < HEAD or at + HEAD > end or at >= self.until:
                    break
                last = min(end, at + self.span, self.until)
                for piece_at, piece in self._pieces(at, length):
                    for found in self._piece(piece_at, piece, last, run.end, found_end):
                        found_end = found.offset + found.length
                        yield found
                self.allowances.earn(min(length, self.span))
                at += self.span

    def _pieces(self, at: int, length: int) -> Iterator[tuple[int, bytes]]:
        """The readable parts of a block, each beginning on the grid; halved down to one step where the medium fails, save where it
        tells how far."""
        block_end = at + self.span
        todo = [(at, length)]
        bad: tuple[int, int, str] | None = None
        while todo:
            at, length = todo.pop()
            try:
                piece = self.device.read(at, length)
            except ReadFailed as failure:
                if at >= block_end:
                    continue  # The few bytes read ahead of the next block, which tells of them itself.
                half = length // 2 // self.step * self.step
                missing = min(missing_until(self.device, at) - at, length) // self.step * self.step
                if missing > self.step:
                    todo += [(at + missing, length - missing)] if missing < length else []
                    length = missing
                elif half:
                    todo += [(at + half, length - half), (at, half)]
                    continue
                if bad is not None and bad[0] + bad[1] == at:
                    bad = (bad[0], bad[1] + length, bad[2])
                    continue
                if bad is not None:
                    self.on_problem(*bad)
                bad = (at, length, str(failure))
                continue
            yield at, piece
        if bad is not None:
            self.on_problem(*bad)

    def _piece(self, at: int, piece: bytes, last: int, run_end: int, found_end: int) -> Iterator[Carved]:
        """The files that begin in ``piece`` before the address ``last``."""
        for index in _candidates(piece, self.step):
            offset = at + index
            if offset < found_end or offset >= last:
                continue
            head = piece[index : index + HEAD]
            for kind in KINDS:
                if kind.begins(head):
                    outline = self._outline(kind, offset, run_end, piece, at)
                    if outline is not None:
                        found_end = offset + outline.length
                        yield Carved(offset, outline.length, outline.mime, outline.kind)
                        break

    def _outline(self, kind: Kind, offset: int, run_end: int, piece: bytes, piece_at: int) -> Outline | None:
        reach = Reach(
            self.device,
            offset,
            min(kind.most, run_end - offset),
            allowance=self.allowances.of(kind),
            absences=self.absences,
            block=piece,
            block_at=piece_at,
        )
        outline: Outline | None = None
        try:
            outline = kind.outline(reach)
        except Exhausted:
            if kind.name not in self.told:
                self.told.add(kind.name)
                self.on_problem(
                    offset, 0, f"Free space holds so many false {kind.name} headers that not every one was followed."
                )
        except (Broken, ReadFailed):
            pass
        # A file that is whole pays for itself: the scan goes on behind it.
        self.allowances.pay(kind, reach.work - (outline.length if outline else 0))
        return outline


def _on_grid(at: int, begin: int, step: int) -> int:
    return begin + -(-(at - begin) // step) * step if at > begin else begin


def _candidates(piece: bytes, step: int) -> list[int]:
    """Offsets in ``piece``, multiples of ``step``, where the first bytes may be those of a file."""
    if len(piece) < HEAD:
        return []
    count = (len(piece) - HEAD) // step + 1
    pairs: npt.NDArray[np.uint16] = np.ndarray((count,), dtype="<u2", buffer=piece, strides=(step,))
    brands: npt.NDArray[np.uint32] = np.ndarray((count,), dtype="<u4", buffer=piece, offset=4, strides=(step,))
    hits = _FIRST_TWO[pairs]
    hits |= brands == _FTYP
    offsets: list[int] = (np.flatnonzero(hits) * step).tolist()
    return offsets
