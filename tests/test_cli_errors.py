"""What the command line says where something is wrong: always one line, never a traceback, and the right exit code."""

from __future__ import annotations

import errno
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from amparo import cli
from amparo.arguments import build_parser
from tests.test_cli import Run, _own_place, order_of, run, sentence  # noqa: F401 - fixtures

COMMANDS = sorted(build_parser().commands())


def fails_with(monkeypatch: pytest.MonkeyPatch, command: str, error: BaseException) -> None:
    """Let a command end as if something in it had raised ``error``."""

    def broken(_given: object) -> int:
        raise error

    monkeypatch.setitem(cli._COMMANDS, command, broken)


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        cli.main([*command.split(), "--help"])
    told = capsys.readouterr().out
    assert ended.value.code == 0 and told.startswith("usage: amparo")
    parser = build_parser().commands()[command] if command else build_parser()
    for option in parser.options():
        assert option in told


def test_every_option_has_an_explanation():
    for command, parser in build_parser().commands().items():
        for action in parser._actions:
            assert action.help or not action.option_strings, f"{command} {action.option_strings}"


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0 and capsys.readouterr().out.startswith("amparo ")


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ([], "Something is missing: COMMAND. Type"),
        (
            ["serch"],
            "COMMAND cannot be serch: use one of search, verify, report, export, seal, order, known, provider, demo. Did you mean search?",
        ),
        (["verifi", "p"], "Did you mean verify?"),
        (["search"], "SOURCE, --order, --out"),
        (["search", "s", "--ordr", "o", "--out", "p"], "Did you mean --order? Type “amparo search --help”"),
        (["search", "s", "--order", "o", "--out", "p", "--recipent", "k"], "Did you mean --recipient?"),
        (["search", "s", "--order", "o", "--out", "p", "--recipent=k"], "Did you mean --recipient?"),
        (["search", "s", "--order", "o", "--out", "p", "--no-carv"], "Did you mean --no-carve?"),
        (["search", "s", "--order", "o", "--out", "p", "--zzz"], "This is not understood: --zzz. Type"),
        (["search", "s", "--order", "o", "--out"], "Something is missing after --out."),
        (["search", "s", "--order", "o", "--out", "p", "--workers", "0"], "--workers: it takes a whole number"),
        (["search", "s", "--order", "o", "--out", "p", "--workers", "two"], "--workers: it takes a whole number"),
        (["search", "s", "--order", "o", "--out", "p", "--workers", "9" * 5000], "--workers: it takes a whole number"),
        (["search", "s", "--order", "o", "--out", "p", "--seconds-a-file", "nan"], "--seconds-a-file: it takes"),
        (["search", "s", "--order", "o", "--out", "p", "--seconds-a-file", "-1"], "--seconds-a-file: "),
        (["search", "", "--order", "o", "--out", "p"], "SOURCE: a path cannot be empty"),
        (["search", "s", "--order", "o", "--out", ""], "--out: a path cannot be empty"),
        (
            ["search", "s", "--order", "o", "--out", "p", "--language", "fr"],
            "--language cannot be fr: use one of pt, en.",
        ),
        (
            ["export", "p", "--out", "f", "--format", "visc"],
            "--format cannot be visc: use one of case, vics, dfxml, timeline, csv.",
        ),
        (["report"], "missing: PACKAGE"),
        (["verify", "a", "b"], "not understood: b"),
        (["order", "a\nb\x1b[2J\ud800"], ""),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_what_is_typed_wrong_is_answered_with_one_line(run: Run, typed: list[str], words: str):  # noqa: F811
    code, said, told = run(*typed)
    assert code in (2, 3) and said == ""
    assert words in sentence(told)


def test_what_is_typed_wrong_is_answered_in_portuguese_too(run: Run, monkeypatch: pytest.MonkeyPatch):  # noqa: F811
    monkeypatch.setenv("AMPARO_LANGUAGE", "pt")
    told = sentence(run("search", "s", "--ordr", "o", "--out", "p")[2])
    assert told == "Falta indicar: --order. Quis dizer --order? Escreva “amparo search --help” para ver como se usa."
    told = sentence(run("search", "s", "--order", "o", "--out", "p", "--workers", "0")[2])
    assert told.startswith("--workers: pede um número inteiro de 1 a 1024.")


def test_an_option_is_never_abbreviated_so_that_a_later_one_changes_no_script(run: Run):  # noqa: F811
    code, _, told = run("search", "s", "--order", "o", "--ou", "p")
    assert code == 2 and "missing: --out" in told


def test_a_cluster_that_is_none_and_gathering_for_nobody_are_refused(run: Run, tmp_path: Path):  # noqa: F811
    typed = ["search", tmp_path, "--order", order_of(tmp_path), "--out", tmp_path / "p"]
    assert "no address of a cluster" in sentence(run(*typed, "--engine", "spark://x")[2])
    code, _, told = run(*typed, "--gather", "*.docx")
    assert code == 2 and "at least one --recipient" in sentence(told)
    assert "age1" in sentence(run(*typed, "--recipient", "nobody")[2])
    assert not (tmp_path / "p").exists()


def test_a_private_key_given_as_a_recipient_is_never_repeated(run: Run, tmp_path: Path):  # noqa: F811
    secret = "AGE-SECRET-KEY-1" + "Q" * 58
    code, _, told = run(
        "search", tmp_path, "--order", order_of(tmp_path), "--out", tmp_path / "p", "--recipient", secret
    )
    assert code == 2 and "Q" * 20 not in sentence(told)


def test_a_package_that_is_none_is_found_wrong_and_not_reported_nor_exported(run: Run, tmp_path: Path):  # noqa: F811
    code, said, _ = run("verify", tmp_path / "none")
    assert code == 1 and "There is no package" in said
    assert run("report", tmp_path / "none")[0] == 1
    assert run("export", tmp_path / "none", "--format", "case", "--out", tmp_path / "f")[0] in (1, 2)
    assert run("seal", tmp_path / "none", "--duplicate", tmp_path / "d")[0] in (1, 2)
    assert not (tmp_path / "f").exists() and not (tmp_path / "d").exists()


def test_an_error_nobody_foresaw_is_one_sentence_a_code_of_its_own_and_a_log(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path  # noqa: F811
):  # fmt: skip
    fails_with(monkeypatch, "verify", ZeroDivisionError("secret words\n of the case"))
    code, said, told = run("verify", "pacote", "--fingerprint", "my secret")
    assert (code, said) == (cli.FAULT, "") == (70, "")
    (log,) = (tmp_path / "state" / "amparo").glob("fault-*.txt")
    assert "not your mistake" in sentence(told) and str(log) in told and "secret words" not in told
    text = log.read_text("utf-8")
    assert "ZeroDivisionError" in text and "in broken" in text and "Command: verify --fingerprint" in text
    assert "my secret" not in text, "what follows an option may be a key"
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


def test_an_error_nobody_foresaw_is_told_also_where_no_log_can_be_written(run: Run, monkeypatch: pytest.MonkeyPatch):  # noqa: F811
    fails_with(monkeypatch, "verify", ZeroDivisionError())
    monkeypatch.setattr("amparo.fault._folders", lambda: [Path("/proc/nowhere")])
    code, _, told = run("verify", "p")
    assert code == 70 and "the command that you typed" in sentence(told)


def test_an_error_of_the_system_names_the_place_and_what_to_do(run: Run, monkeypatch: pytest.MonkeyPatch):  # noqa: F811
    full = OSError(errno.ENOSPC, "No space left on device", "/mnt/usb/pac\note")
    fails_with(monkeypatch, "search", full)
    code, _, told = run("search", "s", "--order", "o", "--out", "p")
    assert code == 2
    assert sentence(told) == (
        "No space left on device (/mnt/usb/pac\\u000aote): put this right and run the command again, with --resume."
    )
    fails_with(monkeypatch, "export", full)
    assert "--resume" not in run("export", "p", "--format", "csv", "--out", "f")[2]


def test_want_of_memory_and_control_c_are_said_plainly(run: Run, monkeypatch: pytest.MonkeyPatch):  # noqa: F811
    fails_with(monkeypatch, "search", MemoryError())
    assert "not enough memory" in sentence(run("search", "s", "--order", "o", "--out", "p")[2])
    fails_with(monkeypatch, "search", KeyboardInterrupt())
    code, _, told = run("search", "s", "--order", "o", "--out", "p")
    assert code == 130 and sentence(told) == "Stopped: run the same command with --resume to go on."
    fails_with(monkeypatch, "verify", KeyboardInterrupt())
    assert sentence(run("verify", "p")[2]) == "Stopped."


def test_the_program_that_is_installed_is_this_one():
    done = subprocess.run([sys.executable, "-m", "amparo.cli", "serch"], capture_output=True, timeout=60, check=False)
    assert done.returncode == 2 and done.stdout == b"" and done.stderr.count(b"\n") == 1


def test_neither_django_nor_the_network_is_loaded_to_read_what_was_typed():
    program = (
        "import sys, amparo.cli; amparo.cli.main(['order']);"
        "print(sorted({'django', 'http', 'urllib.request', 'pytsk3', 'numpy'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60, check=False)
    assert done.stderr.strip() == b"[]"
