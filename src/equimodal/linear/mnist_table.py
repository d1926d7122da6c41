"""The courses of the networks on noisy MNIST as one table; loads no torch.

`noisy_mnist` writes one file a fusion layer, which this puts together, for figures and for readers.
"""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from equimodal.analysis import Table
from equimodal.errors import UserError
from equimodal.linear.settings import NoisyMnist

MEASURES = ("accuracy", "accuracy_a", "accuracy_b")  # shares of 1: A and B, A alone, B alone
COLUMNS = ("L_f", "epoch", "loss", *MEASURES, "examples", "width")
SHOWN = (0, 1, 2, 5, 10, 20, 50, 100, 200)  # epochs; and the last
ABOUT = Table(
    title="Noisy MNIST by fusion layer",
    inputs=(),
    experiments=(),
    caption="Test accuracy in % of fully connected ReLU networks fused at layer L_f, by epochs trained: of pairs"
    " under noise as in training / of the clean digit to A alone / to B alone. One network a layer; A is clean in"
    " more examples than B. Beside F17 of Zhang et al. (2024), whose numbers are not to be had.",
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
    verb = f"`equimodal noisy-mnist {fusion}`"
    try:
        table = pd.read_csv(path)
    except FileNotFoundError:
        raise UserError(f"{path} is missing; run {verb} at this scale first") from None
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}); run {verb} again") from None
    course = pd.DataFrame(
        {"epoch": range(settings.epochs + 1), "L_f": fusion, "width": settings.width}
    )
    if list(table) != [*COLUMNS] or not table[list(course)].equals(course):
        raise UserError(
            f"{path} has not the columns {list(COLUMNS)}, the epochs 0 to {settings.epochs}, L_f ="
            f" {fusion} and a width of {settings.width}: other settings or another version wrote it;"
            f" run {verb} again"
        )
    if table.isna().to_numpy().any():
        raise UserError(f"{path} is damaged (a value is missing); run {verb} again")
    return table


def for_readers(table: pd.DataFrame) -> pd.DataFrame:
    """Return a row an epoch, of some, and a column a fusion layer: the three accuracies in %."""
    epochs = [e for e in SHOWN if e < table["epoch"].max()] + [table["epoch"].max()]
    some = table[table["epoch"].isin(epochs)]
    cells = some[[*MEASURES]].mul(100).map("{:.1f}".format).agg(" / ".join, axis=1)
    shown = some.assign(cell=cells).pivot(index="epoch", columns="L_f", values="cell")
    shown.columns = [f"L_f = {fusion}" for fusion in shown]
    return shown.reset_index()
