"""A cluster does what a crew does, each unit once; what dies there costs what it had in hand."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from amparo.cluster import Cluster
from amparo.crew import Job
from amparo.errors import SourceUnreadable, UsedWrongly
from tests.known.bulk_specimens import known_list, picture
from tests.test_cli import order_of

if importlib.util.find_spec("ray") is None:
    pytest.skip("Ray is not installed", allow_module_level=True)


def _prepare(marks: str, reachable: bool = True) -> Callable[[Any], Any]:
    if not reachable:
        raise UsedWrongly("The index is not there.")

    def do(unit: tuple[str, int]) -> Any:
        verb, number = unit
        if verb == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        if verb == "hang":
            time.sleep(60)
        if verb == "stumble":
            raise IndexError("a parser's own mistake")
        if verb == "end the worker" and not (mark := Path(marks) / str(number)).exists():
            mark.touch()
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(60)
        if verb == "always end it":
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(60)
        (Path(marks) / f"done-{number}-{time.monotonic_ns()}").touch()
        return number * number

    return do


def _run(cluster: Cluster, units: list[tuple[str, int]], seconds: float = 60.0, batch: int = 4) -> dict[Any, Any]:
    jobs = [Job(units[at : at + batch], [seconds] * len(units[at : at + batch])) for at in range(0, len(units), batch)]
    pairs = list(cluster.run(jobs, lambda unit, why: why))
    assert len(pairs) == len(units), "each unit comes back once"
    return dict(pairs)


@pytest.fixture(scope="module")
def marks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("marks")


@pytest.fixture(scope="module")
def cluster(marks: Path) -> Iterator[Cluster]:
    started = Cluster("local", 2, _prepare, str(marks))
    yield started
    started.dismiss()


def test_every_unit_comes_back_once_with_its_result(cluster: Cluster):
    units = [("square", n) for n in range(103)]
    assert _run(cluster, units) == {unit: unit[1] ** 2 for unit in units}


def test_a_unit_that_crashes_hangs_or_stumbles_costs_only_itself_and_no_worker_of_the_cluster(cluster: Cluster):
    units = [({3: "crash", 4: "crash", 9: "stumble", 14: "hang"}.get(n, "square"), n) for n in range(20)]
    results = _run(cluster, units, seconds=12.0)
    for (verb, n), result in results.items():
        assert verb != "square" or result == n * n
    assert results["crash", 3] == results["crash", 4] == "the reader crashed on it (SIGSEGV)"
    assert "longer than the limit" in results["hang", 14] and "IndexError" in results["stumble", 9]


def test_a_worker_that_is_killed_costs_the_batch_that_it_had_in_hand(
    cluster: Cluster, marks: Path, capfd: pytest.CaptureFixture[str]
):
    units = [("end the worker" if n == 1010 else "square", n) for n in range(1000, 1040)]
    assert _run(cluster, units) == {unit: unit[1] ** 2 for unit in units}
    done = [int(path.name.split("-")[1]) for path in marks.glob("done-10??-*")]
    assert set(range(1000, 1040)) <= set(done)
    again = {n for n in done if done.count(n) > 1}
    assert again <= {1008, 1009, 1010, 1011}, "more than that batch was done again"
    assert capfd.readouterr() == ("", "")


def test_a_unit_that_ends_every_worker_is_given_up_and_the_others_of_its_batch_are_done(cluster: Cluster):
    units = [("always end it" if n == 2 else "square", n) for n in range(4)]
    results = _run(cluster, units)
    assert results.pop(("always end it", 2)) == "the workers of the cluster ended on it"
    assert results == {("square", n): n * n for n in (0, 1, 3)}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_cluster_that_was_started_here_listens_to_this_machine_only(cluster: Cluster):
    ours = _below(os.getpid())
    sockets = {str(link.readlink()) for pid in ours for link in _links(pid)}
    seen = 0
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                seen += 1
                address = fields[1].rpartition(":")[0]
                assert address in ("0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F")
    assert seen >= 3


def _links(pid: int) -> list[Path]:
    try:
        return [link for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()]
    except OSError:
        return []


def _below(pid: int) -> set[int]:
    found = {pid}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            child, parent = int(path.parent.name), int(path.read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
        if parent == pid:
            found |= _below(child)
    return found


def test_what_is_no_address_or_where_nobody_answers_is_refused():
    for text in ("http://x", "ray://", "here", "a b:1", "local:", "host:123456"):
        with pytest.raises(UsedWrongly, match="is no address of a cluster: give local, auto"):
            Cluster(text, None, _prepare)
    with pytest.raises(SourceUnreadable, match=r"No cluster answers at 127.0.0.1:1: see that it runs"):
        Cluster("127.0.0.1:1", None, _prepare)


def test_a_worker_that_cannot_prepare_itself_ends_the_run_in_a_sentence(cluster: Cluster, marks: Path):
    refused = object.__new__(Cluster)
    refused.__dict__.update(cluster.__dict__)
    refused._arguments = cluster._ray.put((_prepare, (str(marks), False), __import__("amparo").__version__))
    with pytest.raises(
        SourceUnreadable, match=r"The index is not there. The source and the index must lie at the same path"
    ):
        _run(refused, [("square", 1)])
    refused._arguments = cluster._ray.put((_prepare, (str(marks),), "0.0.0"))
    with pytest.raises(SourceUnreadable, match=r"has version .* of Amparo, not 0\.0\.0"):
        _run(refused, [("square", 1)])


def test_a_search_on_a_cluster_finds_what_it_finds_here(tmp_path: Path):
    """Run by itself, as it is typed; the source and the index are named from where it is started."""
    source = tmp_path / "source"
    source.mkdir()
    for seed in range(6):
        (source / f"{seed}.jpg").write_bytes(picture(seed))
    with zipfile.ZipFile(source / "more.zip", "w") as archive:
        archive.writestr("inside.jpg", picture(1))
    known_list(tmp_path, looks=[picture(1)], exact=[picture(2)])
    order_of(tmp_path)
    found = []
    for name, more in (("here", []), ("there", ["--engine", "local", "--workers", "2"])):
        typed = [sys.executable, "-m", "amparo.cli", "search", "source", "--order", "ordem.toml", "--out", name, "--known",
                 "list.csv", "--no-pdf", "--json", *more]  # fmt: skip
        environment = {**os.environ, "AMPARO_KEY": str(tmp_path / "key.pem"), "XDG_STATE_HOME": str(tmp_path)}
        done = subprocess.run(typed, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0 and json.loads(done.stdout)["problems"] == 0, done.stderr
        with closing(sqlite3.connect(tmp_path / name / "data" / "evidence.sqlite")) as database:
            found.append(database.execute(
                "select f.path, f.sha256, f.mime, f.state, m.entry, m.method, m.distance from files f"
                " left join matches m on m.file_id = f.id order by f.path, m.entry"
            ).fetchall())  # fmt: skip
    assert found[0] == found[1] and len(found[0]) == 8 and sum(row[4] is not None for row in found[0]) == 3
