"""What all figures share: type, colors that color-blind readers can tell apart, saving."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

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


def save(figure: Figure, out: Path, note: str | None) -> None:
    """Write `<out>.svg`, `.png` and `.pdf`, with what is said of the scale at the foot of the figure."""
    mpl.rcParams.update(STYLE)
    if note:
        text = for_figure(note)
        figure.supxlabel(text, fontsize=7, color=GRAY, x=0.01, ha="left", wrap=True)
    for suffix, options in FORMATS.items():
        with write_aside(out.with_name(out.name + suffix)) as aside:
            figure.savefig(aside, format=suffix[1:], facecolor="white", **options)
