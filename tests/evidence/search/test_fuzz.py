"""Whole runs over images cut and spoilt at random: each ends by itself, soon, and changes nothing but its own tables.

Over three thousand damaged images of twenty-four kinds; ``AMPARO_FUZZ=10`` makes it ten times as many, and ``AMPARO_FUZZ_SEED``
others.
"""

from __future__ import annotations

import hashlib
import importlib
import multiprocessing
import os
import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from amparo.errors import AmparoError
from amparo.evidence import package as packages
from amparo.evidence.plan import Plan
from amparo.evidence.search import Options, Search
from tests.evidence.search.containers import KINDS
from tests.evidence.search.running import Quiet, examined, snapshot
from tests.evidence.search.specimens import PASSPHRASE
from tests.evidence.search.spoiling import Spoiled
from tests.evidence.source.disks import apfs_blocks

# Loaded once here and not in each of some thousand children.
for name in ("carving", "inside", "source.layers", "source.libyal_filesystems", "source.ntfs", "source.tsk"):
    importlib.import_module(f"amparo.evidence.{name}")

ROUNDS = int(130 * float(os.environ.get("AMPARO_FUZZ", "1")))
SEED = int(os.environ.get("AMPARO_FUZZ_SEED", "2"))
VAST = ("xfs", "apfs", "apfs encrypted")  # and nearly all holes: sweeping these for files would take all the time
CHECKED = {"apfs": apfs_blocks.with_checksum, "apfs encrypted": apfs_blocks.with_checksum}
SECONDS_A_FILE = 5.0
LONGEST = 30.0  # seconds by the clock: one file at its limit, and a machine busy with other things


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is room: nothing here is about what outlives a power cut, and waiting for disks takes long."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK) or shutil.disk_usage(memory).free < 1 << 30:
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


def search(source: Path, folder: Path, carve: bool) -> tuple[Plan, str]:
    """One run, to its end or to the sentence that ends it."""
    plan = Plan(folder / "work.sqlite")
    options = Options(1, (PASSPHRASE,), carve=carve, seconds_a_file=SECONDS_A_FILE)
    try:
        Search(source, plan, options, None, Quiet()).run(folder / "gathered")
    except AmparoError as error:
        assert str(error).endswith(".") and "\n" not in str(error), str(error)
        return plan, str(error)
    plan.write_evidence(folder / "evidence.sqlite", {})
    return plan, ""


def state(path: Path) -> tuple[str, int, int]:
    info = path.stat()
    small = info.st_size < 16 << 20
    return hashlib.sha256(path.read_bytes()).hexdigest() if small else "", info.st_size, info.st_mtime_ns


@pytest.mark.parametrize("kind", KINDS)
def test_a_spoilt_image_ends_the_run_soon_and_by_itself(kind: str, room: Path) -> None:
    (room / "source").mkdir()
    spoiled = Spoiled(KINDS[kind](room / "source" / "disk.img"), CHECKED.get(kind))
    out = room / "out"
    outcomes = {"refused": 0, "with problems": 0, "whole": 0}
    around = None
    for number in range(ROUNDS):
        spoiled.damage(random.Random(f"{SEED} {kind} {number}"))
        before = state(spoiled.path)
        out.mkdir()
        begun = time.monotonic()
        plan, refusal = search(spoiled.path, out, carve=kind not in VAST)
        taken = time.monotonic() - begun
        problems = plan.database.execute("select count(*) from problems").fetchone()[0]
        plan.close()
        assert taken < LONGEST, f"{kind} {number} took {taken:.0f} s"
        assert state(spoiled.path) == before, f"{kind} {number} changed the source"
        assert not multiprocessing.active_children(), f"{kind} {number} left a process behind"
        shutil.rmtree(out)
        names = sorted(path for path in room.rglob("*"))
        around = around or names
        assert names == around, f"{kind} {number} left something outside its folder"
        outcomes["refused" if refusal else "with problems" if problems else "whole"] += 1
    assert outcomes["with problems"], outcomes


@pytest.mark.parametrize("kind", KINDS)
def test_a_package_made_of_a_spoilt_image_holds_and_nothing_is_written_beside_it(kind: str, room: Path) -> None:
    (room / "source").mkdir()
    spoiled = Spoiled(KINDS[kind](room / "source" / "disk.img"), CHECKED.get(kind))
    for number in range(max(1, ROUNDS // 40)):
        spoiled.damage(random.Random(f"{SEED} whole {kind} {number}"))
        (room / "order.toml").unlink(missing_ok=True)
        before = snapshot(room, "package", "order.toml", "seal.key")
        try:
            _, package = examined(
                spoiled.path, room, carve=kind not in VAST, keys=(PASSPHRASE,), seconds_a_file=SECONDS_A_FILE,
                source_digest="none" if kind in VAST else "both",
            )  # fmt: skip
        except AmparoError as error:
            assert str(error).endswith(".")
        else:
            assert all(finding.ok for finding in packages.verify(package))
        assert snapshot(room, "package", "order.toml", "seal.key") == before
        shutil.rmtree(room / "package", ignore_errors=True)
