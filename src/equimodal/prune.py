"""What is left of runs that the settings no longer ask for.

Snakemake never looks at files that no rule asks for, and DVC would keep them in its cache.
"""

from collections.abc import Collection, Iterator
from pathlib import Path

from equimodal import layout

RUN_FILES = ("spec.json", "outcome.json", "history.csv", "steps.npz")


def files_of_other_runs(scale: str, asked: Collection[str]) -> dict[str, list[Path]]:
    """Find the files of runs that are not among `asked`: run name -> its files."""
    found: dict[str, list[Path]] = {}
    for name, file in _files_of_runs(scale):
        if name not in asked:
            found.setdefault(name, []).append(file)
    return dict(sorted(found.items()))


def remove(files: Collection[Path]) -> None:
    """Remove files, and the folders of results that this leaves empty."""
    for file in files:
        file.unlink()
        _remove_empty(file.parent)


def _files_of_runs(scale: str) -> Iterator[tuple[str, Path]]:
    """Pairs of the name of a run and a file of it, whatever else lies there left aside."""
    runs = layout.run(scale, "")
    for file in sorted(runs.rglob("*")):
        if file.name in RUN_FILES:
            yield file.parent.relative_to(runs).as_posix(), file
    for place in (layout.model, layout.bank):
        example = place(scale, "name")
        for file in sorted(example.parent.rglob(f"*{example.suffix}")):
            yield file.relative_to(example.parent).with_suffix("").as_posix(), file


def _remove_empty(folder: Path) -> None:
    while layout.RESULTS in folder.parents and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent
