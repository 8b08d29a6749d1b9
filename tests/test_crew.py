"""Workers that crash, hang, or lie cost the unit in hand and nothing else."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from amparo.child import ChildDied, isolated
from amparo.crew import Crew, Job
from amparo.errors import ReadFailed


def _prepare() -> Callable[[Any], Any]:
    def do(unit: tuple[str, int]) -> Any:
        verb, number = unit
        if verb == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        if verb == "hang":
            time.sleep(60)
        if verb == "devour":
            return len(bytearray(64 << 30))
        if verb == "stumble":
            raise IndexError("a parser's own mistake")
        return number * number

    return do


def _failed(unit: tuple[str, int], why: str) -> str:
    return why


@pytest.fixture(params=[False, True], ids=["heavy", "light"], autouse=True)
def light(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test once with batches that a worker asks for, and once with batches that wait for it."""
    monkeypatch.setattr(sys.modules[__name__], "LIGHT", request.param)


LIGHT = False


def _run(units: list[tuple[str, int]], seconds: float = 30.0, batch: int = 5, workers: int = 2) -> dict[Any, Any]:
    crew = Crew(workers, _prepare)
    try:
        jobs = [
            Job(units[at : at + batch], [seconds] * len(units[at : at + batch]), LIGHT)
            for at in range(0, len(units), batch)
        ]
        pairs = list(crew.run(jobs, _failed))
    finally:
        crew.dismiss()
    assert len(pairs) == len(units), "each unit comes back once"
    return dict(pairs)


def test_every_unit_comes_back_once_with_its_result() -> None:
    units = [("square", n) for n in range(203)]
    assert _run(units) == {unit: unit[1] ** 2 for unit in units}


def test_a_unit_that_crashes_its_worker_costs_only_itself() -> None:
    units = [("crash" if n in (3, 4, 17) else "square", n) for n in range(20)]
    results = _run(units)
    for (verb, n), result in results.items():
        assert result == (n * n if verb == "square" else "the reader crashed on it (SIGSEGV)")


def test_a_unit_that_hangs_is_left_after_its_limit_and_the_rest_goes_on() -> None:
    units = [("hang" if n == 2 else "square", n) for n in range(12)]
    began = time.monotonic()
    results = _run(units, seconds=0.5)
    assert time.monotonic() - began < 20
    assert "longer than the limit" in results["hang", 2]
    assert [results["square", n] for n in range(12) if n != 2] == [n * n for n in range(12) if n != 2]


def test_a_unit_that_asks_for_more_memory_than_there_is_does_not_take_the_machine() -> None:
    results = _run([("devour", 0), ("square", 5)], batch=1, workers=1)
    assert results["square", 5] == 25
    assert "MemoryError" in results["devour", 0]


def test_a_reader_that_raises_what_nobody_foresaw_costs_its_unit_and_shows_no_traceback(
    capfd: pytest.CaptureFixture[str],
) -> None:
    units = [("stumble" if n in (0, 3) else "square", n) for n in range(10)]
    for (verb, n), result in _run(units).items():
        if verb == "square":
            assert result == n * n
        else:
            assert result.startswith("the reader failed on it (IndexError in test_crew.py, line ")
    assert capfd.readouterr().err == ""


def _echo() -> Callable[[Any], Any]:
    return lambda unit: unit


def test_batches_and_results_larger_than_a_pipe_holds_pass_each_other() -> None:
    crew = Crew(2, _echo)
    units = [bytes([number]) * (3 << 20) for number in range(12)]
    try:
        jobs = [Job([unit, b"small"], [30.0, 30.0], LIGHT) for unit in units]
        given = [result for _, result in crew.run(jobs, _failed)]
    finally:
        crew.dismiss()
    assert sorted(given) == sorted([*units, *[b"small"] * 12])


def test_what_waits_behind_a_batch_that_lost_its_worker_is_done_by_another() -> None:
    units = [("crash" if n % 3 == 0 else "square", n) for n in range(30)]
    results = _run(units, batch=1)
    for (verb, n), result in results.items():
        assert result == (n * n if verb == "square" else "the reader crashed on it (SIGSEGV)")


def _sleep() -> Callable[[Any], Any]:
    def do(unit: float) -> float:
        time.sleep(unit)
        return time.monotonic()

    return do


def test_a_heavy_batch_waits_for_no_worker_that_is_busy() -> None:
    crew = Crew(2, _sleep)
    jobs = [Job([0.0], [30.0], True), Job([2.0], [30.0], LIGHT), Job([1.0], [30.0], False), Job([0.5], [30.0], False)]
    began = time.monotonic()
    try:
        assert len(list(crew.run(jobs, _failed))) == 4
    finally:
        crew.dismiss()
    assert time.monotonic() - began < 2.4, "the long batch held up another one"


def _counting(upto: int, then: str) -> Iterator[int]:
    yield from range(upto)
    if then == "crash":
        os._exit(9)
    if then == "raise":
        raise ReadFailed("The disk gave up; attach it again.")
    if then == "stumble":
        raise struct.error("unpack requires more")
    if then == "hang":
        time.sleep(60)


def test_what_a_child_yields_arrives_in_order() -> None:
    assert list(isolated(_counting, 1000, "end")) == list(range(1000))


def test_what_a_child_raises_is_raised_here() -> None:
    with pytest.raises(ReadFailed, match="attach it again"):
        list(isolated(_counting, 3, "raise"))


@pytest.mark.parametrize("then", ["crash", "hang", "stumble"])
def test_a_child_that_crashes_hangs_or_stumbles_is_a_finding_after_what_it_gave(then: str) -> None:
    given = []
    with pytest.raises(ChildDied):
        for item in isolated(_counting, 3, then, patience=1.0):
            given.append(item)
    assert given == [0, 1, 2]


_LEADER = """
import os, signal, sys, time
from amparo.crew import Crew, Job
def prepare():
    os.write(1, b"%d\\n" % os.getpid())  # one write: several workers speak at once
    return lambda unit: time.sleep(unit)
crew = Crew(3, prepare)
next(crew.run([Job([0], [60]), Job([60], [60]), Job([60], [60])], lambda unit, why: why))
time.sleep(1)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_workers_do_not_outlive_a_leader_that_was_killed() -> None:
    leader = subprocess.run([sys.executable, "-c", _LEADER], capture_output=True, text=True, timeout=30)
    workers = [int(line) for line in leader.stdout.split()]
    assert len(workers) == 3
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{worker}").exists() for worker in workers):
        assert time.monotonic() < deadline, "a worker lives on"
        time.sleep(0.05)
