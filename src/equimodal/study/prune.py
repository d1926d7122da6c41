"""What is left of runs that the settings no longer ask for.

Snakemake never looks at files that no rule asks for, and DVC would keep them in its cache.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from equimodal.study import layout, receipts
from equimodal.study.receipts import NAME, SEEN
from equimodal.study.spec import RunSpec

RECEIPTS = (NAME, f"{NAME}{SEEN}")
# Whatever else lies there is somebody's own.
RUN_NAME = re.compile(r"\w+/\w+/\w+/\w+/lr[^/]+/seed\d+")


def files_of_other_runs(scale: str, asked: Mapping[str, RunSpec]) -> dict[str, list[Path]]:
    """Find the files of runs that nothing asks for, or not with these settings: name -> files."""
    found: dict[str, list[Path]] = {}
    starts = {Path(spec.pretrained) for spec in asked.values() if spec.pretrained}
    for name, file in _files_of_runs(scale):
        if RUN_NAME.fullmatch(name) and file not in starts:
            found.setdefault(name, []).append(file)
    return {
        name: files
        for name, files in sorted(found.items())
        if name not in asked or is_of_other_settings(scale, asked[name])
    }


def is_of_other_settings(scale: str, asked: RunSpec) -> bool:
    """Whether a run was trained with other settings; what is damaged or exchanged is another verb's care."""
    settings = asked.model_dump(mode="json")
    receipt = layout.training_receipt(scale, asked.name)
    found = receipts.objections(receipt, settings=settings, among=["spec.json"])
    return {objection.what for objection in found} == {"settings"}


def remove(files: Collection[Path]) -> None:
    """Remove files, and the folders of results that this leaves empty."""
    for file in files:
        file.unlink()
        folder = file.parent
        while layout.RESULTS in folder.parents and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
            folder = folder.parent


def _files_of_runs(scale: str) -> Iterator[tuple[str, Path]]:
    """Pairs of the name of a run and a file of it, whatever else lies there left aside."""
    runs = layout.run(scale, "")
    for file in sorted(runs.rglob("*")):
        if file.name in (*layout.RUN_FILES, *RECEIPTS):
            yield file.parent.relative_to(runs).as_posix(), file
    for place in (layout.model, layout.bank, layout.bank_receipt, layout.training_lock):
        example = place(scale, "name")
        for suffix in (example.suffix, f"{example.suffix}{SEEN}"):
            for file in sorted(example.parent.rglob(f"*{suffix}")):
                name = file.relative_to(example.parent).as_posix()
                yield name.removesuffix(suffix), file
    for step in ("train", "evaluate"):
        folder = layout.valid(scale, step, "")
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            yield file.relative_to(folder).as_posix(), file
