"""Folders as stores: every ordinary file once, whatever its name, and nothing that is no file."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from amparo.errors import SourceUnreadable
from amparo.known import picture as decoder
from amparo.known.bulk import run
from amparo.known.bulk.stores import open_stores
from tests.known.bulk_specimens import content, index_of, listed, match, picture


def test_every_ordinary_file_below_a_folder_comes_once_and_no_link_pipe_or_socket(tmp_path: Path):
    store = tmp_path / "store"
    (store / "a" / "b").mkdir(parents=True)
    for name in ("one", "a/two", "a/b/three"):
        (store / name).write_text(name)
    (store / "link").symlink_to(store / "one")
    (store / "a" / "loop").symlink_to(store)
    os.mkfifo(store / "pipe")
    things, troubles = listed(store)
    assert sorted((thing.name, content(thing)) for thing in things) == sorted(
        (str(store / name), name.encode()) for name in ("one", "a/two", "a/b/three")
    )
    assert not troubles


def test_names_that_are_no_text_or_move_the_cursor_are_kept_as_they_are(tmp_path: Path):
    names = [b"bad\xff\xfe.jpg", b"new\nline", b"\x1b[31mred", "ção".encode(), b"-rf", b" "]
    for number, name in enumerate(names):
        (Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))).write_text(str(number))
    things, _ = listed(tmp_path)
    assert sorted(os.fsencode(thing.name).rpartition(b"/")[2] for thing in things) == sorted(names)
    assert sorted(content(thing) for thing in things) == [b"%d" % number for number in range(len(names))]
    assert len({thing.key for thing in things}) == len(names)


def test_a_folder_within_another_and_one_named_twice_are_met_once(tmp_path: Path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").write_text("x")
    (tmp_path / "ab").mkdir()
    typed = [tmp_path / "a" / "b", tmp_path / "a", f"{tmp_path}/./a/", tmp_path / "a" / "b" / "file", tmp_path / "ab"]
    assert [store.whole for store in open_stores([str(path) for path in typed])] == [
        os.path.realpath(tmp_path / "a"), os.path.realpath(tmp_path / "ab"),
    ]  # fmt: skip


def test_what_is_not_there_or_is_no_file_is_refused_in_a_sentence(tmp_path: Path):
    with pytest.raises(SourceUnreadable, match=r"There is no .*nowhere: name files or folders"):
        open_stores([str(tmp_path / "nowhere")])
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SourceUnreadable, match="neither a file nor a folder"):
        listed(tmp_path / "pipe")


def test_pictures_that_look_alike_and_files_that_are_the_same_are_found(tmp_path: Path):
    store = tmp_path / "store"
    store.mkdir()
    seen, other, text = picture(1), picture(2), b"just a text"
    (store / "same.jpg").write_bytes(seen)
    (store / "smaller.png").write_bytes(picture(1, "PNG", 150, 120))
    (store / "other.jpg").write_bytes(other)
    (store / "text").write_bytes(text)
    answers, troubles = match([store], index_of(tmp_path, looks=[seen], exact=[text]))
    assert not troubles
    hits = {Path(name).name: [(hit.entry, hit.method) for hit in answer.hits] for name, answer in answers.items()}
    assert hits == {
        "same.jpg": [("looks0", "pdq")], "smaller.png": [("looks0", "pdq")], "other.jpg": [], "text": [("exact0", "sha256")],
    }  # fmt: skip
    assert answers[str(store / "text")].sha256 == hashlib.sha256(text).hexdigest()


def test_a_broken_picture_has_its_digests_and_says_why_it_has_no_fingerprint(tmp_path: Path):
    store = tmp_path / "store"
    store.mkdir()
    broken = picture(3)[:200]
    (store / "broken.jpg").write_bytes(broken)
    answers, _ = match([store], index_of(tmp_path, looks=[picture(1)], exact=[broken]))
    (answer,) = answers.values()
    assert [hit.entry for hit in answer.hits] == ["exact0"]
    assert answer.problem is not None and answer.problem.startswith("No fingerprint was taken: ")


def test_a_file_that_vanished_or_became_a_link_after_it_was_listed_is_told(tmp_path: Path):
    (tmp_path / "gone").write_text("x")
    (tmp_path / "changed").write_text("x")
    things, _ = listed(tmp_path)
    (tmp_path / "gone").unlink()
    (tmp_path / "changed").unlink()
    (tmp_path / "changed").symlink_to("/etc/hostname")
    for thing in things:
        with pytest.raises(OSError):
            thing.place.open()


def _crash(*_: Any) -> Any:
    os.kill(os.getpid(), signal.SIGSEGV)


def _hang(*_: Any) -> Any:
    time.sleep(600)


def _kill(*_: Any) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("fate", [_crash, _hang, _kill], ids=["crashes", "hangs", "is killed"])
def test_a_file_that_brings_its_decoder_down_is_examined_for_its_digests_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fate: Any
):
    store = tmp_path / "store"
    store.mkdir()
    for seed in range(40):
        (store / f"{seed}.jpg").write_bytes(picture(seed % 5))
    bad = picture(7)
    (store / "bad.jpg").write_bytes(bad)
    index = index_of(tmp_path, looks=[picture(1)], exact=[bad])
    sound = decoder.fingerprints
    monkeypatch.setattr(decoder, "fingerprints", lambda data: fate() if data.getvalue() == bad else sound(data))
    monkeypatch.setattr(run, "SECONDS", 1.0)
    answers, _ = match([store], index)
    told = answers.pop(str(store / "bad.jpg"))
    assert told.sha256 == hashlib.sha256(bad).hexdigest() and [hit.entry for hit in told.hits] == ["exact0"]
    assert told.problem is not None and told.problem.startswith("Only its digests were taken: ")
    assert len(answers) == 40 and not any(answer.problem for answer in answers.values())
    assert sum(bool(answer.hits) for answer in answers.values()) == 8


def test_a_worker_that_is_killed_from_outside_changes_nothing_in_the_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The first reading of each tenth file ends in the worker's death; the second has its fingerprint all the same."""
    store = tmp_path / "store"
    store.mkdir()
    for seed in range(60):
        (store / f"{seed:02}.jpg").write_bytes(picture(seed))
    index = index_of(tmp_path, looks=[picture(seed) for seed in range(0, 60, 10)])
    undisturbed, _ = match([store], index)
    sound, marks = decoder.fingerprints, tmp_path / "marks"
    marks.mkdir()

    def killed_once(data: Any) -> Any:
        mark = marks / hashlib.sha256(data.getvalue()).hexdigest()
        if not mark.exists():
            mark.touch()
            if len(list(marks.iterdir())) % 10 == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return sound(data)

    monkeypatch.setattr(decoder, "fingerprints", killed_once)
    disturbed, _ = match([store], index)
    assert disturbed == undisturbed and sum(bool(answer.hits) for answer in disturbed.values()) == 6
