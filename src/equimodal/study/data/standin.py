"""Stand-ins: raw files made by code, in the layout of data that may not be passed on."""

import os
import shutil
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from equimodal.study import receipts
from equimodal.study.errors import UserError
from equimodal.study.files import writing

if TYPE_CHECKING:
    from equimodal.study.data.dataset import Dataset


def renew(folder: Path, settings: "Dataset") -> None:
    """Put the stand-in of a data set in place of an earlier one, unless the same is there and whole.

    The module `<kind>_standin` writes its files: `write(folder, classes, stand_in)`. It is made beside its
    place, gets the receipt of all its files, and is renamed: half of one is never there.

    Raises:
        UserError: If the folder holds anything else, or can not be written.
    """
    receipt = folder / receipts.NAME
    drawn_with = settings.drawn_with
    if not any(receipts.objections(receipt, settings=drawn_with)):
        return
    if not receipt.is_file() and folder.is_dir() and any(folder.glob("[!.]*")):
        raise UserError(
            f"{folder} holds files that are no stand-in of this program; move it away, for one would"
            " replace it"
        )
    maker = import_module(f"equimodal.study.data.{settings.kind}_standin")
    aside = folder.with_name(f".{folder.name}.part")
    try:
        with writing(folder, "delete it and run again"):
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir(parents=True)
            maker.write(aside, settings.class_count, getattr(settings, "stand_in"))  # noqa: B009
            receipts.write(
                aside / receipts.NAME,
                step=f"fetch {folder.name}",
                settings=drawn_with,
                code="",
                files=[path for path in aside.rglob("*") if path.is_file()],
            )
            if folder.exists():
                shutil.rmtree(folder)
            os.replace(aside, folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
