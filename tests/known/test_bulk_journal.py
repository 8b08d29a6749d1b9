"""Results and their journal: each thing once, whenever and however the run is ended."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from amparo.errors import UsedWrongly
from amparo.known.bulk.journal import Journal
from amparo.known.bulk.thing import key_of
from tests.known.bulk_specimens import index_of, lines, picture, tar_of, zipped

SETTINGS = {"stores": ["/x"], "radius": 31}


def test_what_was_kept_but_not_committed_is_cut_off_and_done_again(tmp_path: Path):
    results = tmp_path / "r.jsonl"
    first = Journal(results, SETTINGS, False)
    first.keep(key_of(0, "a"), [{"path": "a"}])
    first.commit()
    first.keep(key_of(0, "b"), [{"path": "b"}])
    first._stream.flush()  # as the system does in its own time; the process is killed here
    first._stream.write(b'{"path": "tor')
    first._stream.flush()
    first._database.close()
    second = Journal(results, SETTINGS, True)
    assert second.has(key_of(0, "a")) and not second.has(key_of(0, "b"))
    second.keep(key_of(0, "b"), [{"path": "b"}])
    second.close()
    assert lines(results) == [{"path": "a"}, {"path": "b"}]


def test_names_that_are_no_text_come_back_from_the_results_as_they_were(tmp_path: Path):
    name = os.fsdecode(b"bad\xff\n\x1b\xe2\x80\xaeend")
    journal = Journal(tmp_path / "r", SETTINGS, False)
    journal.keep(key_of(0, name), [{"path": name}])
    journal.close()
    assert os.fsencode(lines(tmp_path / "r")[0]["path"]) == os.fsencode(name)
    assert Journal(tmp_path / "r", SETTINGS, True).has(key_of(0, name))


def test_results_are_never_written_over_nor_mixed(tmp_path: Path):
    results = tmp_path / "r"
    Journal(results, SETTINGS, False).close()
    with pytest.raises(UsedWrongly, match="is there already: choose another file, or give --resume"):
        Journal(results, SETTINGS, False)
    with pytest.raises(UsedWrongly, match="other paths, another index or another radius"):
        Journal(results, {**SETTINGS, "radius": 10}, True)
    running = Journal(results, SETTINGS, True)
    with pytest.raises(UsedWrongly, match="Another command writes"):
        Journal(results, SETTINGS, True)
    running.close()
    (tmp_path / "mine").write_text("not results")
    with pytest.raises(UsedWrongly, match="has no journal"):
        Journal(tmp_path / "mine", SETTINGS, True)
    assert (tmp_path / "mine").read_text() == "not results"
    with pytest.raises(UsedWrongly, match="cannot be written at"):
        Journal(tmp_path / "no" / "such" / "folder", SETTINGS, False)


def test_results_that_were_changed_and_a_damaged_journal_are_refused(tmp_path: Path):
    results = tmp_path / "r"
    journal = Journal(results, SETTINGS, False)
    journal.keep(key_of(0, "a"), [{"path": "a"}])
    journal.close()
    whole = results.read_bytes()
    results.write_bytes(whole[:-3])
    with pytest.raises(UsedWrongly, match="shorter than its journal says"):
        Journal(results, SETTINGS, True)
    results.write_bytes(whole)
    written = journal.path.read_bytes()
    for damage in (b"", b"nonsense" * 1000, written[: len(written) // 2], written[:100] + bytes(4000)):
        journal.path.write_bytes(damage)
        with pytest.raises(UsedWrongly, match="is damaged, so nothing can go on"):
            Journal(results, SETTINGS, True)
        assert results.read_bytes() == whole


def _store(folder: Path) -> Path:
    """600 files and an archive with 240 members; every twelfth is known."""
    store = folder / "store"
    store.mkdir()
    pictures = [picture(seed, width=320, height=240) for seed in range(12)]
    for number in range(600):
        (store / f"{number:03}.jpg").write_bytes(pictures[number % 12] + b"%d" % number)
    members = [(f"m{n:03}", pictures[n % 12] + b"%d" % n) for n in range(240)]
    (folder / "more.tar.gz").write_bytes(zipped(tar_of(members)))
    return store


def test_each_file_is_in_the_result_once_though_workers_and_leaders_are_killed_at_any_moment(tmp_path: Path):
    store = _store(tmp_path)
    index = index_of(tmp_path, looks=[picture(0, width=320, height=240)])
    results = tmp_path / "r.jsonl"
    typed = [sys.executable, "-m", "amparo.cli", "known", "match", str(store), str(tmp_path / "more.tar.gz"),
             "--index", str(index), "--out", str(results), "--json", "--resume", "--workers", "2"]  # fmt: skip
    chance, killed = random.Random(3), Counter[str]()
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    for attempt in range(40):
        with subprocess.Popen(
            typed, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        ) as leader:
            # the first while it starts, whatever the machine; then wherever it is
            soonest, latest = (0.1, 0.3) if attempt < 2 else (0.4, 1.0) if attempt < 6 else (60, 60)
            ends = time.monotonic() + chance.uniform(soonest, latest)
            while leader.poll() is None:
                if time.monotonic() > ends:
                    leader.kill()
                    killed["leaders"] += 1
                for worker in _children(leader.pid):
                    if killed["workers"] < 8 and chance.random() < 0.2:
                        os.kill(worker, signal.SIGKILL)
                        killed["workers"] += 1
                time.sleep(0.02)
            said, told = leader.communicate()
        if leader.returncode != -signal.SIGKILL:
            break
    assert leader.returncode == 0, told
    assert killed["leaders"] >= 2 and killed["workers"] >= 1
    found = lines(results)
    assert len(found) == 840 and len({line["path"] for line in found}) == 840
    assert json.loads(said) == {
        "files": 840, "bytes": sum(line["size"] for line in found), "known": 70, "problems": 0,
    }  # fmt: skip
    assert sum(bool(line["hits"]) for line in found) == 70 and not any("problem" in line for line in found)


def _children(leader: int) -> list[int]:
    try:
        return [int(pid) for pid in Path(f"/proc/{leader}/task/{leader}/children").read_text().split()]
    except (OSError, ValueError):
        return []
