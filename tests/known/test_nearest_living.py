"""A living index keeps every row that it confirmed, whoever asks meanwhile and whenever its writer dies."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amparo.errors import UsedWrongly
from amparo.known.nearest import Damaged, Hits, Living, generation, living
from tests.known.fingerprints import brute_force, flipped, made, same


def numbers(index: Living, hashes: np.ndarray) -> list[list[int]]:
    """For each fingerprint the numbers of the rows that are the same."""
    hits = index.within(hashes, 0)
    return [hits.row[hits.query == query].tolist() for query in range(len(hashes))]


def test_rows_are_found_by_their_numbers_before_and_after_a_merge(tmp_path: Path):
    hashes = made("random", 3000, 1)
    index, reader = Living.create(tmp_path / "index"), Living.create(tmp_path / "index")
    assert len(index) == 0 and not index.within(hashes[:3]).row.size
    assert index.append(hashes[:1000]) == range(1000) and index.append(hashes[1000:1001]) == range(1000, 1001)
    index.remove([0, 5, 1000, 5])
    expected = [[n] if n not in (0, 5, 1000) else [] for n in range(1001)]
    for merged in (False, True, True):
        if merged:
            assert index.merge()
        for each in (index, reader, Living(tmp_path / "index")):
            assert len(each) == 998 and numbers(each, hashes[:1001]) == expected
    assert reader.append(hashes[:3000]) == range(1001, 4001)  # the first thousand once more, under other numbers
    index.remove([4000, 1001])
    for merged in (False, True):
        assert not merged or reader.merge()
        assert numbers(index, hashes[:6]) == [[], [1, 1002], [2, 1003], [3, 1004], [4, 1005], [1006]]
        assert numbers(index, hashes[2998:]) == [[3999], []]
    assert sorted(path.name for path in (tmp_path / "index").iterdir()) == [
        "base-000004", "current.json", "merging.lock", "tail-000004", "writing.lock"
    ]  # fmt: skip
    index.verify()


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_course_of_additions_removals_and_merges_answers_as_by_hand(data: st.DataObject):
    pool = made("clustered", 40, data.draw(st.integers(0, 5)))
    held: dict[int, bytes] = {}
    following = 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        index, reader = Living.create(folder / "i"), Living.create(folder / "i")
        for _ in range(data.draw(st.integers(1, 8))):
            act = data.draw(st.sampled_from(["add", "add", "remove", "merge", "open"]))
            if act == "add":
                rows = pool[data.draw(st.lists(st.integers(0, 39), max_size=6))]
                assert index.append(rows) == range(following, following + len(rows))
                held |= {following + at: row.tobytes() for at, row in enumerate(rows)}
                following += len(rows)
            elif act == "remove" and following:
                gone = data.draw(st.lists(st.integers(0, following - 1), max_size=4))
                index.remove(gone)
                for number in gone:
                    held.pop(number, None)
            elif act == "merge":
                assert index.merge()
            else:
                index = Living(folder / "i")
        order = sorted(held)
        hashes = np.frombuffer(b"".join(held[number] for number in order), np.uint8).reshape(-1, 32)
        radius = data.draw(st.sampled_from([0, 20, 31]))
        expected = brute_force(hashes, pool, radius)
        expected = expected._replace(row=np.array(order, np.int64)[expected.row])
        assert len(index) == len(reader) == len(order)
        assert same(index.within(pool, radius), expected) and same(reader.within(pool, radius), expected)
        few = index.within(pool, radius, most=2)
        kept = [n for q in range(40) for n in np.flatnonzero(expected.query == q)[:2]]
        assert same(few, Hits(*(column[kept] for column in expected)))


def test_an_addition_cut_off_anywhere_leaves_what_was_confirmed_before_it(tmp_path: Path):
    hashes = made("random", 12, 2)
    index = Living.create(tmp_path / "index")
    index.append(hashes[:5])
    tail = tmp_path / "index" / "tail-000001"
    before = tail.stat().st_size
    index.append(hashes[5:9])
    whole = tail.read_bytes()
    for size in [*range(before, len(whole), 7), len(whole) - 1]:
        for torn in (whole[:size], whole[:size] + bytes(len(whole) - size)):  # cut, or its pages never reached the disk
            tail.write_bytes(torn)
            again = Living(tmp_path / "index")
            assert len(again) == 5 and numbers(again, hashes[:9]) == [[n] if n < 5 else [] for n in range(9)]
            reader = Living(tmp_path / "index")
            assert again.append(hashes[9:]) == range(5, 8)
            assert numbers(reader, hashes[9:]) == numbers(Living(tmp_path / "index"), hashes[9:]) == [[5], [6], [7]]
            assert again.merge() and numbers(reader, hashes[9:]) == [[5], [6], [7]]
            shutil.rmtree(tmp_path / "index")
            index = Living.create(tmp_path / "index")
            index.append(hashes[:5])


def test_an_addition_that_was_changed_later_is_told_not_passed_over(tmp_path: Path):
    hashes = made("random", 30, 3)
    index = Living.create(tmp_path / "index")
    for at in range(0, 30, 10):
        index.append(hashes[at : at + 10])
    tail = tmp_path / "index" / "tail-000001"
    whole = tail.read_bytes()
    for place in range(0, len(whole) * 2 // 3, 13):
        changed = bytearray(whole)
        changed[place] ^= 0x10
        tail.write_bytes(changed)
        with pytest.raises(Damaged, match="tail-000001"):
            Living(tmp_path / "index")
    tail.write_bytes(whole)
    assert len(Living(tmp_path / "index")) == 30


def test_a_folder_without_an_index_and_files_that_were_changed_are_told(tmp_path: Path):
    with pytest.raises(UsedWrongly, match="create one first"):
        Living(tmp_path)
    index = Living.create(tmp_path / "index")
    index.append(made("random", 50, 4))
    assert index.merge()
    current = tmp_path / "index" / "current.json"
    sound = current.read_bytes()
    for wrong in (b"", b"{}", b"[" * 100_000, sound[:-9], sound.replace(b'"following": 50', b'"following": 40')):
        current.write_bytes(wrong)
        with pytest.raises(Damaged, match="current"):
            Living(tmp_path / "index")
    current.write_bytes(sound)
    told = json.loads(sound) | {"version": 99}
    current.write_text(json.dumps(told | {"check": generation._check_of(told)}))
    with pytest.raises(UsedWrongly, match="build it again"):
        Living(tmp_path / "index")
    current.write_bytes(sound)
    hashes = tmp_path / "index" / "base-000002" / "pdq.hashes"
    data = bytearray(hashes.read_bytes())
    data[77] ^= 1
    hashes.write_bytes(data)
    with pytest.raises(Damaged, match=r"pdq\.hashes was changed"):
        Living(tmp_path / "index").verify()
    os.truncate(hashes, 50)
    with pytest.raises(Damaged, match=r"pdq\.hashes"):
        Living(tmp_path / "index")


def test_a_row_that_was_never_added_cannot_be_taken_away(tmp_path: Path):
    index = Living.create(tmp_path / "index")
    index.append(made("random", 3, 5))
    for wrong in ([3], [-1], [0, 99]):
        with pytest.raises(UsedWrongly, match="never added"):
            index.remove(wrong)
    index.remove([])
    with pytest.raises(UsedWrongly, match="32 columns"):
        index.append(np.zeros((3, 16), np.uint8))
    assert len(index) == 3


def test_a_merge_becomes_due_and_runs_beside_questions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(living, "FEWEST_TO_MERGE", 100)
    index = Living.create(tmp_path / "index")
    index.append(made("random", 100, 6))
    assert index.merge_in_background() is None
    index.append(made("random", 50, 7))
    assert index.merge_is_due and index.tail_rows == 150
    thread = index.merge_in_background()
    assert thread is not None
    thread.join()
    assert index.tail_rows == 0 and len(index) == 150 and not index.merge_is_due


def test_of_two_merges_at_once_one_gives_way(tmp_path: Path):
    index, other = Living.create(tmp_path / "index"), Living.create(tmp_path / "index")
    index.append(made("random", 10, 8))
    with living._locked(tmp_path / "index", "merging"):
        assert not other.merge()
    assert other.merge()


def test_readers_miss_nothing_while_rows_are_added_taken_away_and_merged(tmp_path: Path):
    hashes = made("random", 4000, 9)
    writer = Living.create(tmp_path / "index")
    confirmed = [0]
    wrong: list[str] = []
    done = threading.Event()

    def read(seed: int) -> None:
        reader, random_ = Living(tmp_path / "index"), random.Random(seed)
        while not done.is_set():
            until = confirmed[0]
            if not until:
                continue
            asked = [random_.randrange(until) for _ in range(4)]
            for number, found in zip(asked, numbers(reader, hashes[asked]), strict=True):
                # every tenth row is taken away some time after it was added
                if found != [number] and (number % 10 or found):
                    wrong.append(f"{number}: {found}")

    def write() -> None:
        at, random_ = 0, random.Random(10)
        while at < len(hashes):
            size = random_.randrange(1, 60)
            rows = writer.append(hashes[at : at + size])
            at = confirmed[0] = rows.stop
            writer.remove([row for row in rows if row % 10 == 0])

    def merge() -> None:
        other = Living(tmp_path / "index")
        while not done.is_set():
            other.merge()

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(2)] + [threading.Thread(target=merge)]
    for thread in threads:
        thread.start()
    write()
    done.set()
    for thread in threads:
        thread.join()
    assert not wrong and len(writer) == 3600
    assert numbers(Living(tmp_path / "index"), hashes) == [[n] if n % 10 else [] for n in range(4000)]


CHILD = """
import sys
from pathlib import Path
import numpy as np
from amparo.known.nearest import Living
index = Living.create(Path(sys.argv[1]))
hashes = np.random.default_rng(int(sys.argv[2])).integers(0, 256, (1 << 15, 32), dtype=np.uint8)
print("begun", flush=True)
at = 0
while True:
    rows = index.append(hashes[at : at + 1 + at % 37])
    print(rows.start, rows.stop, at, flush=True)
    at += len(rows)
    if sys.argv[3] == "merge":
        index.merge()
        print("merged", flush=True)
"""


@pytest.mark.parametrize("doing", ["append", "merge"])
def test_a_writer_killed_at_any_moment_leaves_every_row_that_it_confirmed(doing: str, tmp_path: Path):
    folder, random_ = tmp_path / "index", random.Random(11)
    reader = Living.create(folder)
    held: dict[int, bytes] = {}
    for round_ in range(5):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(folder), str(round_), doing], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None and child.stdout.readline() == "begun\n"
        time.sleep(random_.uniform(0.02, 0.25))
        child.send_signal(signal.SIGKILL)
        lines = child.stdout.read().splitlines()
        child.wait()
        hashes = np.random.default_rng(round_).integers(0, 256, (1 << 15, 32), dtype=np.uint8)
        for line in lines:
            if line.count(" ") == 2:
                start, stop, at = map(int, line.split())
                held |= {row: hashes[at + row - start].tobytes() for row in range(start, stop)}
        rows = np.frombuffer(b"".join(held.values()), np.uint8).reshape(-1, 32)
        for index in (reader, Living(folder)):
            assert [[number] for number in held] == numbers(index, rows)
            # at most the one addition that was written and not confirmed
            assert len(held) <= len(index) <= len(held) + 37 * (round_ + 1)
    assert reader.merge() and [[number] for number in held] == numbers(reader, rows)
    kept = sorted(path.name for path in folder.iterdir())
    assert len(kept) == 5, "what the killed merges left is gone"


def test_near_rows_in_the_base_and_in_the_tail_come_in_one_order(tmp_path: Path):
    index = Living.create(tmp_path / "index")
    rows = flipped(np.repeat(made("random", 1, 12), 200, axis=0), 0.05, 13)
    index.append(rows[:120])
    assert index.merge()
    index.append(rows[120:])
    assert same(index.within(rows[:9]), brute_force(rows, rows[:9], 31))
