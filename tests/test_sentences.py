"""Every sentence that the program can say has its Portuguese, and the catalogue has none that nothing says any more."""

from __future__ import annotations

import errno
import os
import re
import string

import pytest

from amparo.arguments import build_parser
from amparo.law.bodies import bodies
from amparo.law.measures import measures
from amparo.translation import in_language, sentences, template_of
from tests import sentences as source

# Texts of modules that speak, which nobody is told; by what they are.
UNSAID = {
    # labels, keys and names of formats
    "amparo {}", "amparo: {}", "amparo: {}: {}", "Amparo {}", "amparo known digests", "amparo known library",
    "{} HASHDEEP-", "ICSE CSV", "NSRL RDSv3",
    "NSRL RDSv2", "VICS {}", "VICS US", "VICS UK", "VICS Canada", "NCMEC XML", "StopNCII JSON", "ThreatExchange CSV",
    "PowerPoint Document", " (Volume Label Entry)", "split raw", "seal of an Amparo package, version 1",
    "listed {}", "list {}", "{} order by {}",
    "m.category is null, m.category glob '[^0-9]*', cast(m.category as integer), m.category",
    # written into the ledger, the bag or a table of the law, whose words are a contract
    "report written again", "sealed again", "TRAINING: made for training, never to be filed as evidence", "pattern: {}",
    "shadow copy of {}", "Prazo: {}", "Term of the order: {}", "basic form", "forma simples",
    # the order's example
    '"Despacho 14/2026"', '"Procuradora da República, DIAP de Exemplo"', '"Portable computer, serial 5CD1234"',
    '"Ana Exemplo"', '"Polícia de Exemplo"', "# optional, the days count from here: ",
    "training = true   # false for a real order; a training package can never be filed as evidence",
    # the API's description and its answers, and what the service writes into the operator's log
    "Amparo match service", "text/plain; version=0.0.4; charset=utf-8", "amparo provider keys", "amparo: request {}: {}",
    "amparo: a process of the service ended: {}",
    # the same in both languages
    "--recipient {}", "volume {}", "  sha256:{}",
    # caught where they are raised, and told as another sentence
    "not text", "not base64", "not the one spelling of base64", "not in the one spelling", "not the fields of a seal",
    "not the values of a seal", "not the time of a seal", "key area", "no group", "extent size", "stray character", "nested too deep",
    "too short",
    "attribute past the record", "value past the attribute", "a length below nothing", "damaged mapping pairs",
    "run of less than nothing", "run past the volume", "nothing there",
    # slips of a programmer
    "a time without a zone cannot be evidence", "a time without a zone falls on no day of law",
    "a term in hours has an instant, not a last day",
    "a term is so many hours, days or months, and only one of them: {}",
    "The report asks for nothing outside itself, and {} was asked for.",
}  # fmt: skip

# Templates that the source puts together from parts, each with a part that must still be there.
BUILT = {
    "{}: {}": "{}: {}",
    "line {}: {}": "{} {}: {}",
    "row {}: {}": "{} {}: {}",
    "entry {}: {}": "{} {}: {}",
    "{} ({} more members were not read either.)": " ({} more members were not read either.)",
    "{} and {} further ranges": " and {} further ranges",
    "{}, {}": ", ",
    " It was sealed {} times, and each earlier seal fits{}": " It was sealed {} times, and each earlier seal fits",
    **{
        f"{otherwise}: {{}}": otherwise
        for otherwise in (
            "The package does not hold, so it is not duplicated",
            "The duplicate is not the same as the package; use another disk",
        )
    },
    # a refused format's name without its advice
    "an Ex01 image": "an Ex01 image, which is not read here: save it as E01",
    "an AFF image": "an AFF image, which is not read here: convert it to raw or E01",
    **{
        f"a logical evidence file ({kind})": (
            f"a logical evidence file ({kind}), which holds files and no disk: export them to a folder"
        )
        for kind in ("L01", "Lx01")
    },
}
ARGPARSE = {
    "usage: ", "positional arguments", "options", "show this help message and exit", "show program's version number and exit",
}  # fmt: skip


def shape_of(template: str) -> str:
    """``{name:kind}`` as ``{}``."""
    return "".join(
        piece.replace("{", "{{").replace("}", "}}") + ("" if name is None else "{}")
        for piece, name, _, _ in string.Formatter().parse(template)
    )


def places_of(template: str) -> dict[str, str]:
    return {name: kind or "" for _, name, kind, _ in string.Formatter().parse(template) if name is not None}


CATALOGUE = {shape_of(english): english for english in sentences()}
SYSTEM = {os.strerror(number) for number in errno.errorcode}
ORDERS = {f"{row.order_en} {{}}" for row in measures()}
WHOM = {row.ask_en for row in bodies()}


def test_every_sentence_that_can_reach_a_user_has_its_portuguese():
    covered = CATALOGUE.keys() | UNSAID | set(BUILT.values())
    missing = [f"{said.place}: {said.shape}" for said in source.said() if said.shape not in covered]
    assert not missing, (
        "write the Portuguese in amparo/sentences/*.pt.toml (or, where nobody is told it, name it in UNSAID here) for\n"
        + "\n".join(missing)
    )


def test_what_the_tables_of_the_law_call_an_order_and_whom_they_name_has_its_portuguese():
    assert not (ORDERS | WHOM) - CATALOGUE.keys()


def test_the_catalogue_has_no_sentence_that_nothing_says():
    shapes = {said.shape for said in source.said()} | source.literals() | ORDERS | WHOM | SYSTEM | ARGPARSE
    shapes |= {shape for shape, part in BUILT.items() if part in source.literals()}
    shapes |= {"[Errno {}] {}", "[Errno {}] {}: {}"}  # str(OSError)
    left = [english for shape, english in CATALOGUE.items() if shape not in shapes]
    assert not left, "nothing says any more\n" + "\n".join(left)


def test_nothing_is_left_out_that_the_source_no_longer_has():
    shapes = {said.shape for said in source.said()}
    assert not sorted(UNSAID - shapes)
    assert not sorted(UNSAID & CATALOGUE.keys())


@pytest.mark.parametrize("english", sentences(), ids=lambda text: text[:60])
def test_places_agree_and_the_portuguese_is_whole(english: str):
    portuguese = sentences()[english]
    there, here = places_of(english), places_of(portuguese)
    assert here == {name: kind for name, kind in there.items() if not name.startswith("_")}
    assert set(there.values()) <= {"", "said", "number", "digits", "code", "day", "moment"}
    assert portuguese.strip() and "  " not in portuguese and portuguese.isprintable()
    assert portuguese[-1:] == english[-1:] or not {portuguese[-1:], english[-1:]} & set(".;:?"), "one ends as the other"
    template = template_of(english, portuguese)
    assert template.letters >= 9 or not template.places or set(there.values()) != {""}, "too little to be told by"


def test_no_two_templates_have_one_shape():
    assert len(CATALOGUE) == len(sentences())


# Values for the places of each kind, as the program puts them in.
SPECIMENS = {"": "relatório (1): final.pdf", "number": "12,345", "digits": "512", "code": "E02", "day": "3 Nov 2026"}
SPECIMENS["moment"] = "2026-11-03T09:05:00.25Z"


@pytest.mark.parametrize("english", sentences(), ids=lambda text: text[:60])
def test_each_sentence_is_told_in_portuguese_with_its_values(english: str):
    """Whatever other templates there are, a sentence is told by its own."""
    values = {name: SPECIMENS.get(kind, "Its content is damaged.") for name, kind in places_of(english).items()}
    values |= {name: "an" for name in values if name.startswith("_") and " " in values[name]}
    if values.get("more") == "Its content is damaged.":
        values["more"] = ""  # it stands right behind another part, and is seldom there
    shown = {
        "12,345": "12 345",
        "3 Nov 2026": "3 de novembro de 2026",
        "2026-11-03T09:05:00.25Z": "3 de novembro de 2026, às 09:05:00 UTC",
        "Its content is damaged.": "O conteúdo está danificado.",
    }
    plain = re.compile(r"\{(\w+)(?::\w+)?\}")

    def filled(template: str, of: dict[str, str]) -> str:
        return plain.sub(lambda found: of[found[1]], template)

    told = in_language(filled(english, values), "pt")
    assert told == filled(sentences()[english], {name: shown.get(value, value) for name, value in values.items()})


@pytest.mark.parametrize("command", ["", *build_parser().commands()])
def test_every_line_of_the_help_has_its_portuguese(command: str):
    parser = build_parser().commands()[command] if command else build_parser()
    for action in parser._actions:
        for text in (action.help, action.metavar if isinstance(action.metavar, str) else None):
            assert text is None or text in sentences() or (text.isupper() and len(text) <= 3), text
