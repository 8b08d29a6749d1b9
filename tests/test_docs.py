"""The documentation is held against the program: no command, option, table or link without its page, and none invented."""

from __future__ import annotations

import re
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest

from amparo import cli, errors
from amparo.evidence.order import FIELDS, read_order
from amparo.parsing import Parser

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
COMMANDS: dict[str, Parser] = cli.build_parser().commands()


def parsers(parser: Parser) -> list[Parser]:
    """A command's parser, those of its verbs, and of what is below these."""
    return [parser, *(below for verb in parser.commands().values() for below in parsers(verb))]


PAGES = sorted([*DOCS.rglob("*.md"), ROOT / "README.md"])
ELSEWHERE = {"office", "portal"}  # commands of the contract that are still to come


def text_of(page: Path) -> str:
    return page.read_text("utf-8")


def of_command(command: str) -> str:
    return text_of(DOCS / "commands" / f"{command}.md")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_page_that_names_each_of_its_options_and_arguments(command: str):
    page = of_command(command)
    assert f"amparo {command}" in page.splitlines()[0]
    for parser, action in ((below, action) for below in parsers(COMMANDS[command]) for action in below._actions):
        names = [name for name in action.option_strings if name.startswith("--")] or [str(action.metavar)]
        if isinstance(action.choices, dict):
            names = [f"{parser.prog} {verb}" for verb in action.choices]
        for name in set(names) - {"--help"}:
            assert re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", page), f"{command}.md does not name {name}"


@pytest.mark.parametrize("command", COMMANDS)
def test_a_page_of_a_command_names_only_options_that_some_command_has(command: str):
    known = {option for command in COMMANDS.values() for parser in parsers(command) for option in parser.options()} | {
        "--version",
        "--help",
    }
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*[a-z]", of_command(command))) <= known


def test_there_is_no_page_for_a_command_that_does_not_exist():
    assert {page.stem for page in (DOCS / "commands").glob("*.md")} <= set(COMMANDS) | ELSEWHERE


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_names_only_commands_that_exist(page: Path):
    named = re.findall(r"(?:^\$? ?|[`“(]|sudo |\.venv/bin/)amparo ([a-z]+)", text_of(page), re.MULTILINE)
    assert set(named) <= set(COMMANDS) | ELSEWHERE


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file_of_this_repository_and_its_heading(page: Path):
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, heading = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.is_relative_to(ROOT) and there.exists(), f"{page.name}: {target}"
        if heading:
            titles = re.findall(r"^#+ (.+)$", text_of(there), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}
            assert heading in slugs, f"{page.name}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_names_only_files_of_the_program_that_exist(page: Path):
    for named in re.findall(r"`((?:amparo|tests|docs|benchmarks|scripts)/[\w./-]+\.(?:py|toml|md|sh))`", text_of(page)):
        assert (ROOT / named).exists(), f"{page.name}: {named}"


def test_every_exit_code_is_explained_where_a_search_is():
    codes = {0, 5, cli.FAULT, cli.STOPPED}
    codes |= {
        kind.exit_code for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)
    }
    explained = set(map(int, re.findall(r"^\| (\d+) \|", of_command("search"), re.MULTILINE)))
    assert explained == codes


def test_the_order_in_the_documentation_is_an_order(tmp_path: Path):
    block = re.search(r"```toml\n(.*?)```", of_command("order"), re.DOTALL)
    assert block is not None
    (tmp_path / "order.toml").write_text(block[1], "utf-8")
    order = read_order(tmp_path / "order.toml")
    assert order.warnings == () and str(order.lapses_on) == "2026-12-23"
    assert {table: set(keys) for table, keys in FIELDS.items()} == {
        table: set(keys) for table, keys in tomllib.loads(block[1]).items() if isinstance(keys, dict)
    }


# The law and the words ---------------------------------------------------------------------------------------------


def test_every_table_of_law_is_named_where_its_sources_are():
    data = Path(str(files("amparo.law").joinpath("data")))
    there = {f"{path.parent.name}/{path.name}" for path in data.glob("*/*.toml")}
    named = set(re.findall(r"^\| `(\w+/\w+\.toml)` \|", text_of(DOCS / "law-sources.md"), re.MULTILINE))
    assert named == there


def test_the_page_on_sources_says_that_nothing_is_confirmed_as_long_as_nothing_is():
    data = Path(str(files("amparo.law").joinpath("data")))
    confirmed = [path for path in data.glob("*/*.toml") if re.search(r"^checked = true", text_of(path), re.MULTILINE)]
    assert ("No row has been confirmed by a jurist yet" in text_of(DOCS / "law-sources.md")) == (not confirmed)


def glossary() -> list[tuple[str, str, str]]:
    return re.findall(r"^\*\*(.+?)\*\* \(\*(.+?)\*\)\n: (.+)$", text_of(DOCS / "glossary.md"), re.MULTILINE)


def test_the_glossary_is_in_order_and_every_term_has_its_portuguese_and_a_meaning():
    terms = [term for term, _, _ in glossary()]
    assert terms == sorted(terms, key=str.casefold) and len(terms) == len(set(terms))
    assert len(terms) == text_of(DOCS / "glossary.md").count("\n**"), "an entry is not written like the others"
    for term, portuguese, meaning in glossary():
        assert portuguese and meaning.endswith(".") and len(meaning) < 320, term


def test_the_glossary_has_the_words_that_the_tables_and_pages_rest_on():
    terms = {term.casefold() for term, _, _ in glossary()}
    assert {
        "exhibit", "seal", "order", "referral", "fingerprint", "hamming distance", "extent", "carving", "orphan", "inside",
        "custody ledger", "duplicate", "known material", "triage", "live", "deleted", "package", "measure", "recipient",
    } <= terms  # fmt: skip
