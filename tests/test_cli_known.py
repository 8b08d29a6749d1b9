"""amparo known match and fingerprint over files and stores, as they are typed."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from amparo import cli
from tests.known.bulk_specimens import index_of, known_list, lines, pdq_of, picture, tar_of

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def _own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMPARO_LANGUAGE", "en")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*typed: object) -> tuple[int, str, str]:
        code = cli.main(["known", *(str(word) for word in typed)])
        said, told = capsys.readouterr()
        return code, said, told

    return call


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Three pictures, one of them twice, a text and a broken picture."""
    folder = tmp_path / "store"
    folder.mkdir()
    for name, data in {
        "a.jpg": picture(1), "b.png": picture(1, "PNG", 150, 120), "c.jpg": picture(2), "note": b"a note",
        "broken.jpg": picture(3)[:100],
    }.items():  # fmt: skip
        (folder / name).write_bytes(data)
    return folder


def test_hits_are_told_a_line_each_and_how_much_was_examined(run: Run, store: Path, tmp_path: Path):
    index = index_of(tmp_path, looks=[picture(1)], exact=[b"a note"])
    code, said, told = run("match", "store", "--index", index)
    assert code == 5
    assert sorted(said.splitlines()) == [
        "store/a.jpg  list.csv  looks0  category 1  pdq 0",
        f"store/b.png  list.csv  looks0  category 1  pdq {_distance(said)}",
        "store/note  list.csv  exact0  category 2  sha256",
    ]
    assert "not read: store/broken.jpg: No fingerprint was taken: " in told
    assert told.splitlines()[-1].startswith("3 of 5 are known.  ")


def _distance(said: str) -> str:
    return next(line for line in said.splitlines() if "b.png" in line).rpartition(" ")[2]


def test_json_is_the_lines_of_the_contract_and_nothing_else(run: Run, store: Path, tmp_path: Path):
    index = index_of(tmp_path, looks=[picture(1)])
    code, said, told = run("match", store / "a.jpg", store / "c.jpg", "--index", index, "--json")
    assert code == 0 and told == ""
    assert json.loads(said) == {
        "path": str(store / "a.jpg"), "list": "list.csv", "entry": "looks0", "category": "1", "method": "pdq", "distance": 0,
    }  # fmt: skip


def test_results_have_a_line_for_each_file_and_a_finished_run_resumed_examines_only_what_is_new(
    run: Run, store: Path, tmp_path: Path
):
    known = known_list(tmp_path, looks=[picture(1)])
    typed = ["match", "store", "--index", known, "--out", "store/results.jsonl", "--json"]
    code, said, _ = run(*typed)
    assert code == 5 and json.loads(said)["files"] == 5 and json.loads(said)["known"] == 2
    assert {line["path"]: len(line["hits"]) for line in lines(store / "results.jsonl")} == {
        "store/a.jpg": 1, "store/b.png": 1, "store/c.jpg": 0, "store/note": 0, "store/broken.jpg": 0,
    }  # fmt: skip
    before = (store / "results.jsonl").read_bytes()
    assert run(*typed)[0] == 2
    (store / "later.jpg").write_bytes(picture(1))
    code, said, _ = run(*typed, "--resume")
    assert json.loads(said)["files"] == 6 and (store / "results.jsonl").read_bytes().startswith(before)
    assert [line["path"] for line in lines(store / "results.jsonl")][5:] == ["store/later.jpg"]


def test_resuming_without_results_with_another_radius_or_list_is_refused(run: Run, store: Path, tmp_path: Path):
    known = known_list(tmp_path, looks=[picture(1)])
    assert run("match", "store", "--index", known, "--resume")[2] == (
        "amparo: --resume goes on with results: name them with --out.\n"
    )
    run("match", "store", "--index", known, "--out", "r")
    code, _, told = run("match", "store", "--index", known, "--out", "r", "--resume", "--radius", 5)
    assert code == 2 and "other paths, another index or another radius: choose another file" in told


def test_fingerprints_are_the_lines_of_the_contract(run: Run, store: Path):
    code, said, told = run("fingerprint", "store", "--json")
    rows = {row["path"]: row for row in map(json.loads, said.splitlines())}
    assert code == 5 and set(rows) == {"store/a.jpg", "store/b.png", "store/c.jpg"}, "a note in a folder is no mistake"
    for row in rows.values():
        assert set(row) == {"path", "pdq", "quality", "dihedral"}
        assert len(row["pdq"]) == 64 and len(row["dihedral"]) == 8 and row["dihedral"][0] == row["pdq"]
    assert told == ""
    code, said, told = run("fingerprint", "store/a.jpg", "store/note")
    assert code == 5 and said.split()[0] == rows["store/a.jpg"]["pdq"] and said.endswith("  store/a.jpg\n")
    assert told == "  not read: store/note: The file is no picture of a kind that is decoded here.\n"


def test_names_that_are_no_text_can_neither_stop_a_run_nor_move_the_cursor(run: Run, tmp_path: Path):
    name = os.fsdecode(b"store/\xff\x1b[2J\n.jpg")
    (tmp_path / "store").mkdir()
    (tmp_path / name).write_bytes(picture(1))
    index = index_of(tmp_path, looks=[picture(1)])
    code, said, _ = run("match", "store", "--index", index)
    assert code == 0 and len(said.splitlines()) == 1 and said.isprintable() is False and "\x1b" not in said
    _, said, _ = run("match", "store", "--index", index, "--out", "r", "--json")
    assert os.fsencode(lines(tmp_path / "r")[0]["path"]) == os.fsencode(name)


def test_what_is_typed_wrongly_is_one_sentence(run: Run, store: Path, tmp_path: Path):
    index = index_of(tmp_path, looks=[picture(1)])
    for typed, code, sentence in [
        (["match", "nowhere", "--index", index], 4, "There is no nowhere: name files or folders that are there."),
        (["match", "--index", index], 2, "Name files or folders, or give digests with --hashes FILE: one of the two."),
        (["match", "s3://", "--index", index], 2, "s3:// names no bucket: it is written s3://bucket/prefix."),
        (["match", "store", "--index", index, "--engine", "here"], 2,
         "here is no address of a cluster: give local, auto, HOST:PORT or ray://HOST:PORT."),
        (["match", "store", "--index", index, "--out", "no/folder/r"], 2,
         "The results cannot be written at no/folder/r: choose another place."),
        (["fingerprint", ""], 2, "PATH: a path cannot be empty. Type “amparo known fingerprint --help” for how it is used."),
    ]:  # fmt: skip
        assert run(*typed)[::2] == (code, f"amparo: {sentence}\n")


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")
def test_a_cluster_gives_the_same_results_as_this_machine(run: Run, store: Path, tmp_path: Path):
    (tmp_path / "more.tar").write_bytes(tar_of([("x.jpg", picture(1)), ("y", b"y")]))
    index = index_of(tmp_path, looks=[picture(1)])
    pytest.importorskip("pyarrow.parquet").write_table(
        pytest.importorskip("pyarrow").table({"pdq": [pdq_of(picture(1))] * 3}), tmp_path / "d.parquet"
    )
    typed = ["match", "store", "more.tar", "d.parquet", "--index", index, "--json"]
    assert run(*typed, "--out", "here")[0] == run(*typed, "--out", "there", "--engine", "local", "--workers", 2)[0] == 5
    by_name = {}
    for results in ("here", "there"):
        by_name[results] = {line["path"]: line for line in lines(tmp_path / results)}
        assert len(by_name[results]) == len(lines(tmp_path / results)) == 11
    assert by_name["here"] == by_name["there"]
