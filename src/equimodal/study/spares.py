"""Second names of what a cell has finished, until the workflow has.

Snakemake removes the outputs of a job that fails, or puts those of before into their place. A cluster may call a job
failed that has done all of its work.
"""

import os
import shutil
from dataclasses import replace
from pathlib import Path

from equimodal.study import layout, receipts
from equimodal.study.files import make_folder
from equimodal.study.params import Params
from equimodal.study.steps import Product


def lay_aside(product: Product, scale: str) -> None:
    """Give the files of a product, and its receipt, a second name each."""
    spare = _spare(product, scale)
    for file, second in zip(_all(product), _all(spare), strict=True):
        _link(file, second)


def bring_back(product: Product, params: Params) -> None:
    """Put what was laid aside of a product into its place, if it is right and what lies there is not.

    Raises:
        UserError: If an input of the product is wrong.
    """
    spare = _spare(product, params.scale)
    if not spare.receipt.exists():
        return
    asked = product.asked(params)
    wrong, right = (
        [*receipts.objections(p.receipt, files=p.files, **asked)] for p in (product, spare)
    )
    if wrong and not right:
        for second, file in zip(_all(spare), _all(product), strict=True):
            _link(second, file)


def _spare(product: Product, scale: str) -> Product:
    def second(path: Path) -> Path:
        return layout.spares(scale) / path.relative_to(layout.RESULTS / scale)

    files = tuple(second(file) for file in product.files)
    return replace(product, receipt=second(product.receipt), files=files)


def _all(product: Product) -> tuple[Path, ...]:
    return (*product.files, product.receipt)  # which vouches for the others, and so comes last


def _link(file: Path, second: Path) -> None:
    make_folder(second.parent)
    second.unlink(missing_ok=True)
    try:
        os.link(file, second)
    except OSError:  # a file system without second names
        shutil.copy2(file, second)
