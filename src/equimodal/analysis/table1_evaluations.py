"""Table 1 for every output of the networks under every way of evaluating."""

import pandas as pd

from equimodal.analysis.table1 import CELL, COLUMNS, summarize_cells
from equimodal.params import Analysis


def build(
    runs: pd.DataFrame, evaluations: pd.DataFrame, published: pd.DataFrame, settings: Analysis
) -> pd.DataFrame:
    """Build the columns of Table 1, and `output`: a branch, or `fused`, the prediction.

    `evaluation` is the flow of information when the test set was answered: `regular`, that of a
    re-balancing step, the one that the last training step left behind, or a way of switching the
    other modality off.
    """
    rows = summarize_cells(runs, evaluations, published, settings)
    numbers = [c for c in COLUMNS if c not in (*CELL, "evaluation")]
    return rows[[*CELL, "evaluation", "output", *numbers]]
