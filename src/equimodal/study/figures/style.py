"""What all figures share: type, colors that color-blind readers can tell apart, saving."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.text import Text

from equimodal.study.analysis.names import DATASETS
from equimodal.study.files import write_aside
from equimodal.study.markup import for_figure

# Okabe and Ito's palette.
ORANGE, SKY, GREEN, BLUE, VERMILION, PURPLE = (
    "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7",
)  # fmt: skip
GRAY = "#666666"

Look = dict[str, Any]  # how matplotlib draws a mark, a line or a patch

STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "svg.hashsalt": "equimodal",  # the same figure gives the same bytes
    "svg.fonttype": "none",
    "pdf.fonttype": 42,  # text stays text
}
FORMATS: dict[str, dict[str, Any]] = {
    ".svg": {"metadata": {"Date": None}},  # no time of writing: the same bytes each time
    ".png": {"dpi": 200},
    ".pdf": {"metadata": {"CreationDate": None}},
}


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of a size in inches."""
    mpl.rcParams.update(STYLE)
    return Figure(figsize=(width, height), layout="constrained")


def save(figure: Figure, out: Path, note: str | None, stand_ins: Collection[str] = ()) -> None:
    """Write `<out>.svg`, `.png` and `.pdf`, with the scale's note at the foot of the figure.

    Data sets of `stand_ins` are called so wherever the figure names them.
    """
    mpl.rcParams.update(STYLE)
    for words in figure.findobj(Text):
        for name in (name for dataset, name in DATASETS.items() if dataset in stand_ins):
            words.set_text(words.get_text().replace(name, f"{name} (stand-in)"))
    if note:
        text = for_figure(note)
        figure.supxlabel(text, fontsize=7, color=GRAY, x=0.01, ha="left", wrap=True)
    for suffix, options in FORMATS.items():
        with write_aside(out.with_name(out.name + suffix)) as aside:
            figure.savefig(aside, format=suffix[1:], facecolor="white", **options)
