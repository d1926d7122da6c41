"""The paper's numbers, as they were printed."""

from importlib.resources import as_file, files

import pandas as pd

from equimodal.study.table_files import read_table


def read_published(name: str) -> pd.DataFrame:
    """Read a table of `GIVEN`.

    `published`: Table 1, test accuracy in percent, mean and SD of three runs: dataset, start, method,
    output, published_mean, published_sd.
    `published_greediness`: E[d_util] (Sec. 6.4) and its absolute value (Sec. 6.2) of the sweeps:
    dataset, inputs, policy, published_d_util, published_abs_d_util. The sign for
    Colored-and-gray-MNIST is not published; for identical modalities the text says about 0.
    `published_unimodal`: test accuracy in percent of the networks with one modality (Sec. 6.1), printed
    without digits after the point: dataset, start, inputs, published_accuracy.
    `published_calibration`: accuracy in percent of Kim et al.'s network without their method on colored
    digits, by variance: variance, published_mean (README of feidfoe/learning-not-to-learn).
    `preregistered`: what docs/preregistration.md expects: method, inputs, measure, output, the ends `low`
    and `high` of the region (none: unbounded), first_cap, last_cap, first_seed, last_seed.

    Raises:
        UserError: If it is missing or damaged.
    """
    with as_file(files("equimodal.study.analysis").joinpath(f"{name}.csv")) as path:
        return read_table(path, "install equimodal")
