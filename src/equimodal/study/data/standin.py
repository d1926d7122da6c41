"""Stand-ins: raw files made by code, in the layout of data that may not be passed on."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from equimodal.study import receipts
from equimodal.study.errors import UserError
from equimodal.study.files import writing


def renew(folder: Path, drawn_with: dict[str, Any], write: Callable[[Path], None]) -> None:
    """Put a stand-in in place of an earlier one, unless one of the same settings is there and whole.

    It is written beside its place, gets the receipt of all its files, and is renamed: half of one is never there.

    Raises:
        UserError: If the folder holds anything else, or can not be written.
    """
    receipt = folder / receipts.NAME
    if not any(receipts.objections(receipt, settings=drawn_with)):
        return
    if not receipt.is_file() and folder.is_dir() and any(folder.glob("[!.]*")):
        raise UserError(
            f"{folder} holds files that are no stand-in of this program; move it away, for one would"
            " replace it"
        )
    aside = folder.with_name(f".{folder.name}.part")
    try:
        with writing(folder, "delete it and run again"):
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir(parents=True)
            write(aside)
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
