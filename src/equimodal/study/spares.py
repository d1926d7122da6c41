"""Second names of what a job of the workflow has finished, until the whole workflow has.

Snakemake removes the outputs of a job that fails, or puts those of before into their place. A cluster may call a job
failed that has done all of its work.
"""

import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from equimodal.study import layout, receipts
from equimodal.study.errors import UserError
from equimodal.study.files import make_folder


def lay_aside(receipt: Path, scale: str) -> None:
    """Give all that a receipt tells of, and the receipt, a second name each, if a workflow will remove them.

    What took long stays good where that can not be done.
    """
    if "EQUIMODAL_SPARES" in os.environ:
        with suppress(OSError, UserError):
            for file in _all(receipt):
                _link(file, _second(file, scale))


def bring_back(
    receipt: Path, files: Iterable[Path], scale: str, asked: Callable[[], Mapping[str, Any]]
) -> bool:
    """Put what was laid aside of a product into its place, if it is right and what lies there is not.

    Say whether it was laid aside, and what now lies in its place is right: as `asked`, which is called for what was laid
    aside alone, and may raise UserError.
    """
    spare = _second(receipt, scale)
    if not spare.exists():
        return False
    wanted = asked()

    def is_right(receipt: Path, files: Iterable[Path]) -> bool:
        return not any(receipts.objections(receipt, files=files, deep=True, **wanted))

    if is_right(receipt, files):
        return True
    if not is_right(spare, [_second(file, scale) for file in files]):
        return False
    for file in _all(receipt, as_told=spare):
        _link(_second(file, scale), file)
    return True


def _all(receipt: Path, as_told: Path | None = None) -> list[Path]:
    """The files of a product; its receipt vouches for the others, and so comes last."""
    told = receipts.read(as_told or receipt).files
    return [*(receipts.file_of(receipt, name) for name in told), receipt]


def _second(file: Path, scale: str) -> Path:
    (second,) = (
        spares / file.relative_to(folder)
        for folder, spares in layout.spares(scale).items()
        if file.is_relative_to(folder)
    )
    return second


def _link(file: Path, second: Path) -> None:
    make_folder(second.parent)
    second.unlink(missing_ok=True)
    try:
        os.link(file, second)
    except OSError:  # a file system without second names
        shutil.copy2(file, second)
