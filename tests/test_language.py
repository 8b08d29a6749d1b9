"""The words of the terminal: both languages say everything, and the environment chooses."""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest

import amparo
from amparo.known.hits import Hit
from amparo.language import LANGUAGES, chosen, counted, number, said, words
from amparo.terminal import Terminal, visible

PROGRAM = Path(amparo.__file__).parent


def places(sentence: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name}


def test_both_languages_have_every_sentence_with_the_same_places():
    english, portuguese = words("en"), words("pt")
    assert list(english) == list(portuguese)
    for key in english:
        assert places(english[key]) == places(portuguese[key]), key
        assert english[key].strip() and portuguese[key].strip()


def test_every_sentence_that_the_program_says_is_in_the_table_and_none_is_left_over():
    text = "".join(
        (PROGRAM / name).read_text("utf-8")
        for name in (
            "cli.py",
            "cli_known.py",
            "cli_bulk.py",
            "terminal.py",
            "arguments.py",
            "parsing.py",
            "cli_provider.py",
        )
    )
    used = set(re.findall(r"""said\(\s*["'](\w+)["']""", text))
    used |= {f"{key}_{form}" for key in re.findall(r"""counted\(\s*["'](\w+)["']""", text) for form in ("one", "many")}
    used |= {"live", "deleted", "orphan", "carved", "inside"}  # the states, said by their names
    used |= {"survey", "list", "read", "carve", "decode", "gather", "confirm"}  # and the stages
    used |= {"list_added", "list_replaced", "list_unchanged", "list_removed"}  # what became of a list
    used |= {"lacking", "not_understood", "needs_value", "no_such_choice", "argument"}  # what argparse says
    used |= {"stopped", "stopped_search", "system_error", "system_error_search", "holds", "receipt_holds"}
    assert used == set(words("en"))


@pytest.mark.parametrize(
    ("environment", "language"),
    [
        ({}, "en"),
        ({"LANG": "pt_PT.UTF-8"}, "pt"),
        ({"LANG": "pt_BR"}, "pt"),
        ({"LANG": "pt"}, "pt"),
        ({"LANG": "C.UTF-8"}, "en"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({"LANG": "pt_PT.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LANG": "en_GB.UTF-8", "LC_MESSAGES": "pt_PT.UTF-8"}, "pt"),
        ({"LANG": "pt_PT.UTF-8", "LC_ALL": ""}, "pt"),
        ({"LANG": "pt_PT.UTF-8", "AMPARO_LANGUAGE": "en"}, "en"),
        ({"LANG": "en_GB.UTF-8", "AMPARO_LANGUAGE": "PT"}, "pt"),
        ({"AMPARO_LANGUAGE": "pt_PT"}, "pt"),
        ({"LANG": "pt_PT", "AMPARO_LANGUAGE": "klingon"}, "pt"),
    ],
)
def test_the_environment_chooses_the_language(environment: dict[str, str], language: str):
    assert chosen(environment) == language and language in LANGUAGES


def test_numbers_are_grouped_and_one_is_not_many(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AMPARO_LANGUAGE", "en")
    assert (
        number(12345) == "12,345" and counted("of_files", 1) == "1 file" and counted("of_files", 1200) == "1,200 files"
    )
    monkeypatch.setenv("AMPARO_LANGUAGE", "pt")
    assert number(12345) == "12 345" and number(1234) == "1234" and counted("of_files", 0) == "0 ficheiros"
    assert said("live", count=3) == "3 existentes"


def test_a_run_tells_its_stages_matches_and_problems(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("AMPARO_LANGUAGE", "pt")
    heard: list[str] = []
    terminal = Terminal(opening=lambda: heard.append("opened"))
    assert heard == []
    terminal.stage("read", 1, 25_000_000)
    terminal.stage("confirm", 0, 0)
    terminal.matched("Fotos/\u202egpj.exe", Hit("lista.csv", "7", "1", "sha256", False))
    for index in range(30):
        terminal.problem("read", f"a\x1b[2J{index}", "não se lê")
    terminal.finish()
    said_out, said_err = capsys.readouterr()
    assert heard == ["opened"] and terminal.matches == 1
    assert said_out == "CORRESPONDÊNCIA  lista.csv categoria 1  sha256  Fotos/\\u202egpj.exe\n"
    lines = said_err.splitlines()
    assert lines[:2] == ["A ler ficheiros: 1 ficheiro, 25 MB", "A confirmar que a fonte não mudou"]
    assert len(lines) == 2 + 20 + 1 and lines[2] == "  não lido: a\\u001b[2J0: não se lê"
    assert lines[-1] == "  os restantes constam apenas do relatório"


def test_a_quiet_run_says_nothing(capsys: pytest.CaptureFixture[str]):
    terminal = Terminal(quiet=True)
    terminal.stage("read", 5, 5)
    terminal.advance(5, 5)
    terminal.matched("a", Hit("l", None, None, "md5", False))
    terminal.problem("read", None, "x")
    terminal.finish()
    assert capsys.readouterr() == ("", "") and terminal.matches == 1


def test_no_name_can_move_the_cursor():
    assert visible("a\nb\rc\x1b[31m\u202e\ud800é") == "a\\u000ab\\u000dc\\u001b[31m\\u202e\\ud800é"
