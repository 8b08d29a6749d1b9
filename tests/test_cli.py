"""The command line as a user and a script meet it: exit codes, one sentence for every error, and the order before all."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from amparo import cli, clock
from amparo.evidence.order import example
from amparo.law.counting import law_day

Run = Callable[..., tuple[int, str, str]]
SHAPE = b"\x89PNG not a picture, but bytes that a list can know"


@pytest.fixture(autouse=True)
def _own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """English, and nothing of the user's: keys and logs lie in the test's folder."""
    monkeypatch.setenv("AMPARO_LANGUAGE", "en")
    monkeypatch.setenv("AMPARO_KEY", str(tmp_path / "seal-key.pem"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*typed: object) -> tuple[int, str, str]:
        code = cli.main([str(word) for word in typed])
        said, told = capsys.readouterr()
        return code, said, told

    return call


def order_of(place: Path, days_ago: int = 0, **changes: str) -> Path:
    """A training order issued so many days ago, with fields given other values as TOML writes them."""
    lines = example(law_day(clock.now()) - timedelta(days=days_ago)).splitlines()
    for key, value in changes.items():
        lines = [f"{key} = {value}" if line.startswith(f"{key} =") else line for line in lines]
    path = place / "ordem.toml"
    path.write_text("\n".join(lines), "utf-8")
    return path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "Prova nº 7" / "Utilizador João"
    folder.mkdir(parents=True)
    (folder / "relatório de férias ção.txt").write_text("olá", "utf-8")
    (folder / "forma.png").write_bytes(SHAPE)
    return folder.parent


@pytest.fixture
def known(tmp_path: Path) -> Path:
    path = tmp_path / "lista conhecida.csv"
    path.write_text(f"sha256,category,entry\n{hashlib.sha256(SHAPE).hexdigest()},1,forma 7\n", "utf-8")
    return path


def sentence(told: str) -> str:
    """The one line that was said on standard error, held to be one."""
    assert told.count("\n") == 1 and told.startswith("amparo: ") and "Traceback" not in told, told
    return told.removeprefix("amparo: ").strip()


# The whole road ----------------------------------------------------------------------------------------------------


def test_a_folder_is_searched_and_its_package_verified(run: Run, source: Path, known: Path, tmp_path: Path):
    out = tmp_path / "Pacote da prova"
    code, said, told = run(
        "search", source, "--order", order_of(tmp_path), "--out", out, "--known", known, "--no-pdf", "--workers", 1
    )
    assert code == 0, told
    assert "MATCH  lista conhecida.csv category 1  sha256  Utilizador João/forma.png" in said
    assert "Files: 2 live." in said and "Matches with known material: 1 file." in said
    assert f"Report:  {out / 'data' / 'report.html'}" in said and (out / "data" / "report.html").is_file()
    assert "TRAINING" in told and "not yet confirmed by a jurist" in told and "Lei 109/2009, art. 15" in told
    with closing(sqlite3.connect(out / "data" / "evidence.sqlite")) as database:
        paths = {path for (path,) in database.execute("select path from files")}
    assert "Utilizador João/relatório de férias ção.txt" in paths
    code, said, told = run("verify", out)
    assert code == 0 and "The package holds" in said and told == ""
    (out / "data" / "report.html").write_bytes(b"another report")
    code, said, _ = run("verify", out)
    assert code == 1 and "WRONG" in said and "report.html" in said
    code, said, _ = run("verify", out, "--json")
    assert code == 1 and json.loads(said)["holds"] is False


def test_a_package_is_exported_reported_again_and_duplicated(run: Run, source: Path, known: Path, tmp_path: Path):
    out = tmp_path / "AP-7"
    run("search", source, "--order", order_of(tmp_path), "--out", out, "--known", known, "--no-pdf", "--workers", 1)
    code, said, told = run("export", out, "--format", "dfxml", "--out", tmp_path / "exportação.xml")
    assert (code, told) == (0, "") and said == f"{tmp_path / 'exportação.xml'}: 2 entries written.\n"
    portuguese = (out / "data" / "report.html").read_bytes()
    code, said, told = run("report", out, "--language", "en")
    assert (code, told) == (0, "") and str(out / "data" / "report.html") in said
    assert (out / "data" / "report.html").read_bytes() != portuguese
    assert run("verify", out)[0] == 0
    code, said, told = run("seal", out, "--duplicate", tmp_path / "duplicado", "--to", "Secretaria judicial")
    receipt = tmp_path / "duplicado.receipt.json"
    assert (code, told) == (0, "")
    assert said == f"The duplicate is at {tmp_path / 'duplicado'}; its receipt is {receipt}.\n"
    code, said, _ = run("verify", receipt)
    assert code == 0 and "The receipt holds" in said
    assert run("verify", tmp_path / "duplicado")[0] == 0
    assert run("seal", out, "--duplicate", tmp_path / "duplicado")[0] == 2


def test_a_seal_by_another_key_than_the_one_expected_is_wrong(run: Run, source: Path, tmp_path: Path):
    out = tmp_path / "p"
    run("search", source, "--order", order_of(tmp_path), "--out", out, "--no-pdf", "--workers", 1)
    code, said, _ = run("verify", out, "--fingerprint", "0000 " * 10)
    assert code == 1 and "WRONG" in said and "somebody else" in said


def test_the_terminal_speaks_portuguese_where_it_is_asked_to(
    run: Run, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("AMPARO_LANGUAGE")
    monkeypatch.delenv("LC_ALL", raising=False)
    monkeypatch.setenv("LANG", "pt_PT.UTF-8")
    out = tmp_path / "pacote"
    code, said, told = run("search", source, "--order", order_of(tmp_path), "--out", out, "--no-pdf", "--workers", 1)
    assert code == 0 and "Ficheiros: 2 existentes." in said and "A ler ficheiros: 2 ficheiros" in told


def test_json_is_one_document_in_no_language_and_nothing_else(run: Run, source: Path, known: Path, tmp_path: Path):
    out = tmp_path / "pacote"
    typed = ["search", source, "--order", order_of(tmp_path), "--out", out, "--known", known, "--no-pdf", "--json"]
    code, said, told = run(*typed)
    assert code == 0 and told == ""
    result = json.loads(said)
    assert re.fullmatch(r"([0-9a-f]{4} ){9}[0-9a-f]{4}", result.pop("fingerprint"))
    assert result == {"package": str(out), "counts": {"live": 2, "matched": 1, "gathered": 0}, "problems": 0}


def test_something_that_could_not_be_read_ends_with_5(run: Run, source: Path, tmp_path: Path):
    with zipfile.ZipFile(source / "partido.zip", "w") as archive:
        archive.writestr("a.txt", "content " * 100)
    whole = (source / "partido.zip").read_bytes()
    (source / "partido.zip").write_bytes(whole[: len(whole) // 2])
    code, said, _ = run(
        "search", source, "--order", order_of(tmp_path), "--out", tmp_path / "p", "--no-pdf", "--workers", 1
    )
    assert code == 5 and "could not be read: see the report, or the table problems." in said


@pytest.mark.parametrize("name", ["absent.img", "empty.img"])
def test_a_source_that_cannot_be_read_at_all_ends_with_4_and_leaves_no_package(run: Run, tmp_path: Path, name: str):
    (tmp_path / "empty.img").touch()
    code, said, told = run(
        "search", tmp_path / name, "--order", order_of(tmp_path), "--out", tmp_path / "p", "--no-pdf"
    )
    assert code == 4 and said == "" and name in sentence(told)
    assert not (tmp_path / "p").exists()


# The order at the door ---------------------------------------------------------------------------------------------


@pytest.fixture
def heard() -> Iterator[list[str]]:
    """Every path that Python opens, lists, makes or removes, by its own account (``sys.addaudithook``)."""
    paths: list[str] = []
    listening = True

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if listening and event in {"open", "os.listdir", "os.scandir", "os.mkdir", "os.remove", "sqlite3.connect"}:
            paths.append(os.fsdecode(arguments[0]) if isinstance(arguments[0], str | bytes) else "")

    sys.addaudithook(hook)
    yield paths
    listening = False


REFUSALS: dict[str, tuple[dict[str, object], str]] = {
    "lapsed": ({"days_ago": 31}, "lapsed on "),
    "not yet issued": ({"days_ago": -1}, "a day still to come"),
    "of a measure that is no search": ({"measure": '"preservation"'}, "does not authorise a search"),
    "of the police in urgency": ({"measure": '"seizure"', "authority": '"police"'}, "until it is validated"),
    "by a body that cannot": ({"authority": '"police"'}, "asks for judicial authority"),
    "without a reference": ({"reference": '""'}, '"reference" in [order] is empty'),
}


@pytest.mark.parametrize("why", REFUSALS)
def test_under_a_refused_order_nothing_is_read_and_nothing_written(
    run: Run, source: Path, known: Path, tmp_path: Path, why: str, heard: list[str]
):
    changes, reason = REFUSALS[why]
    order = order_of(tmp_path, **changes)  # type: ignore[arg-type]
    before = sorted(tmp_path.rglob("*"))
    heard.clear()
    code, said, told = run("search", source, "--order", order, "--out", tmp_path / "p", "--known", known, "--resume")
    assert code == 3 and said == "" and reason in sentence(told)
    assert {path for path in heard if path.startswith(str(tmp_path))} == {str(order)}
    assert sorted(tmp_path.rglob("*")) == before


def test_a_search_that_is_allowed_is_heard_by_the_ears_of_the_test_above(
    run: Run, source: Path, tmp_path: Path, heard: list[str]
):
    heard.clear()
    run("search", source, "--order", order_of(tmp_path), "--out", tmp_path / "p", "--no-pdf", "--workers", 1)
    assert any(path.startswith(str(tmp_path / "p")) for path in heard), "the test above was deaf"


def test_an_order_that_is_refused_is_refused_before_the_source_is_looked_for(run: Run, tmp_path: Path):
    code, _, told = run("search", tmp_path / "no", "--order", tmp_path / "no.toml", "--out", tmp_path / "p")
    assert code == 3 and "There is no order file" in sentence(told)


def test_a_lapsed_order_names_the_day_in_the_refusal(run: Run, tmp_path: Path, source: Path):
    order = order_of(tmp_path, issued_on="2026-01-05")
    code, _, told = run("search", source, "--order", order, "--out", tmp_path / "p")
    assert (code, sentence(told)) == (
        3,
        "Search order Despacho 14/2026 lapsed on 4 Feb 2026; ask the prosecutor for a new one.",
    )


# amparo order ------------------------------------------------------------------------------------------------------


def test_order_prints_an_example_that_it_then_reads(run: Run, tmp_path: Path):
    code, said, told = run("order")
    assert code == 0 and told == "" and "training = true" in said
    (tmp_path / "o.toml").write_text(said.replace("2026-11-20", law_day(clock.now()).isoformat(), 1), "utf-8")
    code, said, told = run("order", tmp_path / "o.toml")
    last = law_day(clock.now()) + timedelta(days=30)
    assert code == 0
    assert said == f"Despacho 14/2026 allows a search (Lei 109/2009, art. 15), until {last}, the last day included.\n"
    assert "TRAINING" in told and "jurist" in told


def test_order_says_when_the_last_days_have_come_and_what_nothing_reads(run: Run, tmp_path: Path):
    assert "lapses today" in run("order", order_of(tmp_path, days_ago=30))[2]
    assert "The order lapses on " in run("order", order_of(tmp_path, days_ago=28))[2]
    assert "lapses" not in run("order", order_of(tmp_path, days_ago=20))[2]
    path = order_of(tmp_path)
    path.write_text(path.read_text("utf-8") + '\nagenci = "x"\n', "utf-8")
    assert 'nothing reads "agenci" in [examiner]' in run("order", path)[2]


def test_order_gives_what_it_read_to_programs(run: Run, tmp_path: Path):
    code, said, told = run("order", order_of(tmp_path), "--json")
    assert code == 0 and told == "" and json.loads(said)["measure"] == "search"


def test_an_order_without_a_last_day_says_so(run: Run, tmp_path: Path):
    code, said, _ = run("order", order_of(tmp_path, measure='"seizure"'))
    assert code == 0 and "no last day is set by the law tables" in said
    assert run("order", order_of(tmp_path, days_ago=31))[0] == 3


# As a program of its own -------------------------------------------------------------------------------------------


def test_a_pipe_that_closes_does_not_stop_a_search(source: Path, known: Path, tmp_path: Path):
    out = tmp_path / "p"
    command = [
        sys.executable, "-m", "amparo.cli", "search", str(source), "--order", str(order_of(tmp_path)), "--out", str(out),
        "--known", str(known), "--no-pdf", "--workers", "1",
    ]  # fmt: skip
    read, write = os.pipe()
    os.close(read)
    with open(write, "wb") as closed:  # noqa: PTH123
        done = subprocess.run(command, stdout=closed, stderr=subprocess.PIPE, timeout=120, check=False)
    assert done.returncode == 0 and b"Traceback" not in done.stderr and b"BrokenPipe" not in done.stderr
    assert (out / "seal.json").is_file()


def test_an_old_terminal_that_knows_no_accents_does_not_stop_anything(tmp_path: Path):
    environment = {**os.environ, "LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "AMPARO_LANGUAGE": "pt"}
    command = [sys.executable, "-m", "amparo.cli", "order", str(order_of(tmp_path, reference='"Ação n.º 1"'))]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False, env=environment)
    assert done.returncode == 0 and rb"A\xe7\xe3o n.\xba 1 permite uma pesquisa" in done.stdout
