"""Rows of text that a spreadsheet cannot take for formulas, and how to read them back exactly.

A name such as ``=cmd|' /C calc'!A1`` on a seized disk must not run on the computer of whoever opens the table (OWASP,
"CSV Injection"). An apostrophe goes before each ``= + - @`` (and its full-width form) or apostrophe that begins a cell,
or that follows a character at which a spreadsheet set to another separator would cut. To read a cell back, take away the
apostrophe that follows the beginning of the cell, a comma, a semicolon, a quotation mark, a tab or a line break.
"""

from __future__ import annotations

import re

_STARTS = r'(?:\A|(?<=[,;"\t\r\n]))'
_FORMULA = re.compile(_STARTS + r"(?=['=+\-@＝＋－＠])")
_MARK = re.compile(_STARTS + "'")


def harmless(value: object) -> str:
    """The value as a cell: an empty one for None, a number as it is, a text with its formulas made harmless."""
    if value is None:
        return ""
    if isinstance(value, int):
        return str(value)
    return _FORMULA.sub("'", str(value))


def original(cell: str) -> str:
    """The text that :func:`harmless` made this cell of."""
    return _MARK.sub("", cell)
