"""Free text, such as the note of a scale, as plain words of the languages that it is put into.

HTML takes it through the template's own escaping.
"""

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

LATEX = str.maketrans(
    {c: f"\\{c}" for c in "&%$#_{}"}
    | {"|": r"\textbar{}", "<": r"\textless{}", ">": r"\textgreater{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
)


def for_figure(text: str) -> str:
    """Escape text for matplotlib, where a pair of $ is mathematics; `parse_math` is not asked by its wrapping."""
    return text.replace("$", r"\$")


def for_latex(text: str) -> str:
    """Escape text for LaTeX."""
    return text.translate(LATEX)


def for_markdown(text: str) -> str:
    """Escape a sentence for Markdown; what stands inside of a word, as in `d_util`, means nothing there."""
    marks = re.sub(r"([\\`<|\[\]]|(?<!\w)[*_]|[*_](?!\w))", r"\\\1", text)
    return re.sub(r"^([#>+-])|^(\d+)([.)])", r"\2\\\1\3", marks)


def table_for_markdown(table: "pd.DataFrame") -> str:
    """Write a table of texts in Markdown."""
    shown = table.rename(columns=lambda text: text.replace("|", r"\|"))
    shown = shown.map(lambda text: text.replace("|", r"\|"))
    return str(shown.to_markdown(index=False, disable_numparse=True))


def for_rest(text: str) -> str:
    """Escape text for reStructuredText."""
    return re.sub(r"([\\`*|_])", r"\\\1", text)
