"""Figure 6 (App. A): examples of each data set."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from equimodal.study.analysis.names import DATASETS
from equimodal.study.figures.parts import NothingToShow
from equimodal.study.figures.style import new_figure

Arrays = Mapping[str, np.ndarray]
DIGITS = {
    "train": "training: the color follows the label",
    "test": "test: the color is drawn at random",
}
VIEWS = {
    "view0": "front, $m_0$",
    "view6": "rear, $m_1$",
    "view4": "left (three views)",
    "view8": "right (three views)",
}
SENSORS = {"color": "color, $m_0$", "depth": "depth, $m_1$"}
CLASSES, CLIPS = 10, 5  # shown at most
GAP = 0.08  # between images, as a share of an image


@dataclass(frozen=True)
class Panel:
    """Images in rows and columns: each row's name, and the class of each group of columns."""

    title: str
    rows: dict[str, np.ndarray]  # name -> (columns, h, w, 1 or 3), bytes
    classes: np.ndarray


def draw(examples: Mapping[str, Arrays]) -> Figure:
    """Show images of each class, in each modality, of each data set that has examples: the arrays of `examples.npz`."""
    of_examples = {"colored_mnist": _digits, "modelnet40": _views, "nvgesture": _clips}
    panels = [
        panel
        for dataset, panels_of in of_examples.items()
        if dataset in examples
        for panel in panels_of(DATASETS[dataset], examples[dataset])
    ]
    if not panels:
        raise NothingToShow("No data set is prepared whose images may be shown.")
    heights = [0.5 + 6.2 * _share_of_width(panel) for panel in panels]
    figure = new_figure(7.5, sum(heights))
    all_axes = figure.subplots(len(panels), 1, height_ratios=heights, squeeze=False)[:, 0]
    for axes, panel in zip(all_axes, panels, strict=True):
        axes.set_title(panel.title)
        _show(axes, panel)
    return figure


def _digits(name: str, arrays: Arrays) -> list[Panel]:
    return [
        Panel(
            f"{name}, {words}",
            {f"{m}, $m_{i}$": arrays[f"{split}.{m}"] for i, m in enumerate(("color", "gray"))},
            arrays[f"{split}.labels"],
        )
        for split, words in DIGITS.items()
    ]


def _views(name: str, arrays: Arrays) -> list[Panel]:
    rows = {
        words: arrays[f"train.{view}"][:CLASSES]
        for view, words in VIEWS.items()
        if f"train.{view}" in arrays
    }
    return [Panel(f"{name}, training objects", rows, arrays["train.labels"][:CLASSES])]


def _clips(name: str, arrays: Arrays) -> list[Panel]:
    """Set the frames of one clip side by side."""
    rows = {
        words: np.concatenate(list(arrays[f"train.{sensor}"][:CLIPS]))
        for sensor, words in SENSORS.items()
    }
    title = f"{name}, an early, a middle and a late frame of training clips"
    return [Panel(title, rows, arrays["train.labels"][:CLIPS])]


def _share_of_width(panel: Panel) -> float:
    """Height over width of a panel's images."""
    columns = max([CLASSES, *(len(images) for images in panel.rows.values())])
    return len(panel.rows) / columns


def _show(axes: Axes, panel: Panel) -> None:
    """Show all images of a panel as one picture, in units of an image."""
    rows = list(panel.rows.values())
    columns = len(rows[0])
    for y, images in enumerate(rows):
        for x, image in enumerate(images):
            place = (x, x + 1 - GAP, y + 1 - GAP, y)
            axes.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=255, extent=place)
    width = columns // len(panel.classes)  # columns of one class
    centers = width * np.arange(len(panel.classes)) + (width - GAP) / 2
    names = [f"class {label}" if i == 0 else str(label) for i, label in enumerate(panel.classes)]
    axes.set_xticks(centers, names, fontsize=8)
    axes.set_yticks(np.arange(len(rows)) + (1 - GAP) / 2, list(panel.rows), fontsize=8)
    axes.set(xlim=(0, max(CLASSES, columns)), ylim=(len(rows), 0), anchor="W")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
