"""Figure 6 (App. A): examples of the data."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure, SubFigure

from equimodal.figures.style import new_figure


def draw(examples: dict[str, np.ndarray]) -> Figure:
    """Show Colored-and-gray-MNIST: one training and one test image of each class.

    It should show that a training digit wears the color of its class and a test digit any color.
    """
    figure = new_figure(6.5, 3.4)
    parts: Any = figure.subfigures(2, 1)
    titles = {
        "train": "training: the color follows the label",
        "test": "test: the color is drawn at random",
    }
    for part, (split, title) in zip(parts, titles.items(), strict=True):
        part.suptitle(title, fontsize=9, x=0.02, ha="left")
        _rows(part, examples, split)
    return figure


def _rows(part: SubFigure, examples: dict[str, np.ndarray], split: str) -> None:
    labels = examples[f"{split}.labels"]
    axes = part.subplots(2, len(labels))
    for row, modality in enumerate(("color", "gray")):
        for column, image in enumerate(examples[f"{split}.{modality}"]):
            ax = axes[row, column]
            ax.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=255)
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
        axes[row, 0].set_ylabel(f"$m_{row}$ {modality}", rotation=0, ha="right", va="center")
    for column, label in enumerate(labels):
        axes[1, column].set_xlabel(str(label))
