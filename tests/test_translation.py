"""Sentences that were raised in English are told in Portuguese, whatever a stranger wrote into the names they hold."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from amparo import translation
from amparo.evidence.finding import Finding
from amparo.translation import LONGEST, here, in_language


def test_english_is_left_as_it_is():
    assert in_language("It is damaged.", "en") == "It is damaged."


def test_a_sentence_that_nothing_here_made_is_shown_as_it_is():
    for sentence in (
        "", "libfoo: read error, and no more", "Foi ontem: nada a fazer", "a: b", "one or the other", "a thing", "x to y", "99",
    ):  # fmt: skip
        assert in_language(sentence, "pt") == sentence


@pytest.mark.parametrize(
    ("english", "portuguese"),
    [
        ("It is encrypted, so its content was not read.", "Está cifrado, pelo que o conteúdo não foi lido."),
        (
            "Its content ends after 12345 of 9,999,999 bytes.",
            "O conteúdo acaba ao fim de 12 345 de 9 999 999 bytes.",
        ),
        (
            "The NTFS cluster map cannot be read, so free space is not searched. The volume was only carved.",
            "O mapa de clusters do NTFS não pode ser lido, pelo que o espaço livre não é pesquisado. No volume só foi feita a"
            " recuperação pela estrutura.",
        ),
        (
            "Search order Despacho 14/2026 lapsed on 3 Nov 2026; ask the prosecutor for a new one.",
            "O despacho de pesquisa (Despacho 14/2026) caducou em 3 de novembro de 2026; peça ao Ministério Público um novo.",
        ),
        (
            "fotos/a.zip: b: c.zip/d.jpg: It is packed by method 97 (WavPack), which is not read here."
            " (3 more members were not read either.)",
            "fotos/a.zip: b: c.zip/d.jpg: Está comprimido pelo método 97 (WavPack), que não se lê aqui."
            " (Também não foram lidos mais 3 membros.)",
        ),
        (
            "The listing stopped after 40000 files: the reader crashed (SIGSEGV).",
            "A listagem parou ao fim de 40 000 ficheiros: o leitor foi abaixo (SIGSEGV).",
        ),
        (
            "The package could not be written at /mnt/x ([Errno 28] No space left on device): make room there, or attach the"
            " disk again, and run the same command with --resume.",
            "O pacote não pôde ser escrito em /mnt/x (não há espaço no disco): liberte espaço, ou volte a ligar o disco, e"
            " execute o mesmo comando com --resume.",
        ),
        (
            "The list /l.csv cannot be read to its end: a strange error.",
            "A lista /l.csv não pode ser lida até ao fim: a strange error.",
        ),
        (
            "Sectors that could not be read when the image was taken, and hold zeros: 8 from sector 64, 1 from sector 99 and 4"
            " further ranges.",
            "Setores que não puderam ser lidos quando a imagem foi feita, e que têm zeros: 8 a partir do setor 64, 1 a partir do"
            " setor 99 e mais 4 intervalos.",
        ),
    ],
    ids=lambda text: text[:40],
)
def test_a_sentence_is_told_with_its_values_and_parts(english: str, portuguese: str):
    assert in_language(english, "pt") == portuguese


def test_the_more_particular_template_is_the_one_that_tells():
    assert in_language("“x” cannot be read: Permission denied.", "pt") == "«x» não pode ser lido: sem permissão."
    told = in_language("The directory “x” cannot be read: Permission denied.", "pt")
    assert told == "A pasta «x» não pode ser lida: sem permissão."


def test_a_name_that_is_a_sentence_stays_a_name():
    name = "It is damaged."
    assert in_language(f"“{name}” has a name but no record behind it.", "pt") == (
        f"«{name}» tem nome, mas nenhum registo que lhe corresponda."
    )
    assert in_language(f"{name} was changed after the package was sealed.", "pt").startswith(
        "It is damaged. foi alterado"
    )


def test_a_name_with_braces_and_the_ends_of_a_template_in_it_is_kept():
    for name in (
        "{0} {name} {{",
        "a” cannot be read: b",
        "”",
        "” is damaged; what precedes the damage was kept.",
        "%s\n\0",
    ):
        told = in_language(f"The directory “{name}” cannot be read.", "pt")
        assert told == f"O diretório «{name}» não pode ser lido."


@given(st.text(st.characters(exclude_categories=())))
@example("”")
@example("x” cannot be read.")
def test_whatever_a_name_holds_it_is_told_whole(name: str):
    told = in_language(f"“{name}” has a name but no record behind it.", "pt")
    assert told == f"«{name}» tem nome, mas nenhum registo que lhe corresponda."


@given(
    st.text(alphabet="a:,. ()“”3"), st.sampled_from([": ", ", ", " and ", " or ", "It is damaged (", "”", "line 3: "])
)
def test_no_text_is_lost_or_makes_it_fail(text: str, mark: str):
    sentence = mark.join([text, text, "x"])
    assert in_language(sentence, "pt")


@pytest.mark.parametrize(
    "piece",
    [
        ": ",
        " and or ",
        "It is damaged (",
        "“",
        "”",
        ", ",
        "line 3: ",
        "The list a (",
        " cannot be read: ",
        "3 from sector 4, ",
    ],
)
def test_a_name_made_to_mislead_costs_little(piece: str):
    began = time.process_time()
    for end in (".", "", "It is damaged.", "” cannot be read: "):
        translation._in_portuguese.__wrapped__((piece * LONGEST)[: LONGEST - len(end)] + end)
    assert time.process_time() - began < 2


def test_what_is_longer_than_any_sentence_is_shown_as_it_is():
    sentence = f"“{'x' * LONGEST}” has a name but no record behind it."
    assert in_language(sentence, "pt") == sentence


def test_the_terminal_chooses(monkeypatch: pytest.MonkeyPatch):
    finding = Finding(True, "The tag files are those that were sealed.")
    monkeypatch.setenv("AMPARO_LANGUAGE", "en")
    assert here(finding.what) == finding.what
    monkeypatch.setenv("AMPARO_LANGUAGE", "pt")
    assert here(finding.what) == "Os ficheiros de etiqueta do saco BagIt são os que foram selados."
