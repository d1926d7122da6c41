"""The courses of the networks on noisy MNIST as one table; loads no torch.

`noisy_mnist` writes one file a fusion layer, which this puts together, for figures and for readers.
"""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from equimodal.linear.settings import NoisyMnist
from equimodal.study.analysis import AboutTable
from equimodal.study.errors import UserError
from equimodal.study.files import reading
from equimodal.study.table_files import read_table

MEASURES = ("accuracy", "accuracy_a", "accuracy_b")  # shares of 1: A and B, A alone, B alone
COLUMNS = ("L_f", "epoch", "loss", *MEASURES, "examples", "width")
SHOWN = (0, 1, 2, 5, 10, 20, 50, 100, 200)  # epochs; and the last
ABOUT = AboutTable(
    title="Noisy MNIST by fusion layer",
    inputs=(),
    caption="""Test accuracy in % of fully connected ReLU networks fused at layer L_f, by epochs trained: of pairs under
        noise as in training / of the clean digit to A alone / to B alone. One network a layer; A is clean in more
        examples than B. Beside F17 of Zhang et al. (2024), whose numbers are not to be had.""",
)


def linear_mnist(records: Mapping[int, Path], settings: NoisyMnist) -> pd.DataFrame:
    """Read the files of all fusion layers, L_f -> file, into one table of the columns `COLUMNS`.

    Raises:
        UserError: If a file is missing, damaged or of a training with other settings, or the layers were
            trained on different numbers of digits.
    """
    table = pd.concat([_read(path, f, settings) for f, path in records.items()], ignore_index=True)
    if table["examples"].nunique() > 1:
        counts = ", ".join(
            f"L_f = {f}: {n}" for f, n in table.groupby("L_f")["examples"].first().items()
        )
        raise UserError(
            f"the layers were trained on different numbers of digits ({counts}); run"
            f" `equimodal noisy-mnist {' '.join(map(str, records))}` again"
        )
    return table


def _read(path: Path, fusion: int, settings: NoisyMnist) -> pd.DataFrame:
    course = pd.DataFrame(
        {"epoch": range(settings.epochs + 1), "L_f": fusion, "width": settings.width}
    )
    remedy = f"run `equimodal noisy-mnist {fusion}` at this scale"
    table = read_table(path, remedy, COLUMNS, filled=COLUMNS)
    with reading(
        path,
        f"L_f = {fusion}, the epochs 0 to {settings.epochs}, a width of {settings.width}",
        remedy,
    ):
        if not table[list(course)].equals(course):
            raise ValueError("other settings wrote it")
    return table[[*COLUMNS]]


def for_readers(table: pd.DataFrame) -> pd.DataFrame:
    """Return a row an epoch, of some, and a column a fusion layer: the three accuracies in %."""
    epochs = [e for e in SHOWN if e < table["epoch"].max()] + [table["epoch"].max()]
    some = table[table["epoch"].isin(epochs)]
    cells = some[[*MEASURES]].mul(100).map("{:.1f}".format).agg(" / ".join, axis=1)
    shown = some.assign(cell=cells).pivot(index="epoch", columns="L_f", values="cell")
    shown.columns = [f"L_f = {fusion}" for fusion in shown]
    return shown.reset_index()
