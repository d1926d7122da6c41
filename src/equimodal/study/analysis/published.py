"""The paper's numbers, as they were printed."""

from importlib.resources import as_file, files

import pandas as pd

from equimodal.study.table_files import read_table


def read_published(name: str) -> pd.DataFrame:
    """Read a table of `GIVEN`; UserError if it is missing or damaged.

    `published`: Table 1, test accuracy in percent, mean and SD of three runs. `published_greediness`: E[d_util] (Sec. 6.4)
    and its absolute value (Sec. 6.2) of the sweeps; the sign for Colored-and-gray-MNIST is not published, and for identical
    modalities the text says about 0. `published_unimodal`: test accuracy in percent of the networks with one modality
    (Sec. 6.1), printed without digits after the point. `published_calibration`: accuracy in percent of Kim et al.'s network
    without their method on colored digits, by variance (README of feidfoe/learning-not-to-learn). `preregistered`: what
    docs/preregistration.md expects; an end of the region that is missing is unbounded.
    """
    with as_file(files("equimodal.study.analysis").joinpath(f"{name}.csv")) as path:
        return read_table(path, "install equimodal")
