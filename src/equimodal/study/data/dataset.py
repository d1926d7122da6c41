"""What a data set is: its section of params.yaml, and all that is asked of it and done with it.

A new one is a class in `equimodal.study.datasets`, and a module beside this one that does the work. The module
has the name of its kind, and these functions:

    origin(settings)                      where the raw files are from
    downloads(settings)                   names of those that `fetch` downloads or makes by itself
    places(folder, settings, mirror)      raw files and folders that `prepare` reads, where they lie or will lie
    fetch(folder, settings, mirror)       brings them
    prepare(raw, out, settings, processes)
"""

from abc import ABC, abstractmethod
from collections.abc import Collection
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from equimodal.study import receipts
from equimodal.study.data import prepared, standin
from equimodal.study.data.status import FETCH, Origin
from equimodal.study.errors import UserError
from equimodal.study.files import require_writable
from equimodal.study.schema import Count, Name, Positive, Section
from equimodal.study.spec import Modality, Normalization, each_once

SplitName = Literal["train", "validation", "test"]
ClassCount = Annotated[int, Field(ge=2, le=256)]  # a label is a byte


def _classes(given: Any) -> Any:
    """Check that classes are their number, or their names; a label is a byte."""
    if type(given) is int and 2 <= given <= 256:
        return given
    names = given if isinstance(given, list | tuple) else ()
    if 2 <= len(names) <= 256 and all(isinstance(name, str) for name in names):
        return each_once(tuple(names))
    raise ValueError("expected their number, from 2 to 256, or a list of as many names")


Classes = Annotated[int | tuple[str, ...], BeforeValidator(_classes)]
README = "README.txt"  # the file of a stand-in that says what it is


class Source(Section):
    """One stored array of a data set and how it is scaled."""

    channels: Count
    normalization: Normalization

    @model_validator(mode="after")
    def _one_normalization_a_channel(self) -> Self:
        if len(self.normalization.mean) != self.channels:
            raise ValueError(
                f"{self.channels} channels but a normalization of {len(self.normalization.mean)}"
            )
        return self


class Dataset(Section, ABC, defer_build=True):  # as all settings are built at once
    """The interface of all data sets."""

    decisive: ClassVar[set[str]]  # settings that raw files and prepared arrays depend on

    kind: str
    classes: Classes
    sources: dict[Name, Source]
    inputs: dict[Name, dict[Name, str]]
    table1_rate: Positive

    @model_validator(mode="after")
    def _inputs_read_sources(self) -> Self:
        for name, branches in self.inputs.items():
            if not branches:
                raise ValueError(f"inputs.{name} names no branch")
            if unknown := sorted(set(branches.values()) - set(self.sources)):
                raise ValueError(
                    f"inputs.{name} reads unknown {unknown}; the sources are {sorted(self.sources)}"
                )
        return self

    @property
    def class_count(self) -> int:
        """How many classes there are."""
        return self.classes if isinstance(self.classes, int) else len(self.classes)

    @property
    def _work(self) -> Any:
        """The module that does the work; loaded when it is used, and by nobody who only reads the settings."""
        return import_module(f"equimodal.study.data.{self.kind}")

    # Raw files

    @property
    def raw(self) -> str:
        """Folder of the raw files below data/raw."""
        return f"{self.kind}_stand_in" if self.is_stand_in else self.kind

    @property
    def origin(self) -> Origin:
        """Where they are from, on which terms, and what the user has to do to have them."""
        if self.is_stand_in:
            made = f"made by this program: stand-ins, none of the data of {self.kind}"
            return Origin(made, "that of equimodal; nobody else has a right in them")
        origin: Origin = self._work.origin(self)
        return origin

    @property
    def fetched(self) -> tuple[str, ...]:
        """Names of the raw files that `fetch` downloads or makes by itself."""
        return (README,) if self.is_stand_in else tuple(self._work.downloads(self))

    @property
    def checksums(self) -> dict[str, str]:
        """SHA-256 of the raw files that `prepare` takes with these bytes alone."""
        return {}

    @property
    def drawn_with(self) -> dict[str, Any] | None:
        """All that decides the files of the stand-in; None of real data."""
        if (stand_in := getattr(self, "stand_in", None)) is None:
            return None
        return {"version": 1, "classes": self.classes, **stand_in.model_dump()}

    def raw_files(self, folder: Path, *, mirror: str | None) -> list[Path]:
        """Raw files and folders that `prepare` reads, where they lie or `fetch` will bring them."""
        return [folder / README] if self.is_stand_in else self._work.places(folder, self, mirror)

    def fetch(self, folder: Path, *, mirror: str | None) -> None:
        """Bring the raw files into a folder, and write the receipt of those that came by themselves.

        One process at a time. A mirror, a folder or URL, is tried before the public addresses. UserError if they can not be
        had, are not the expected ones or not whole.
        """
        remove_litter(folder)
        if (drawn_with := self.drawn_with) is not None:

            def write(aside: Path) -> None:
                maker = import_module(f"equimodal.study.data.{self.kind}_standin")
                maker.write(aside, self.class_count, getattr(self, "stand_in"))  # noqa: B009

            standin.renew(folder, drawn_with, write)
            return
        self._work.fetch(folder, self, mirror)
        if made := [folder / name for name in self.fetched if (folder / name).is_file()]:
            step = f"fetch {self.raw}"
            receipts.write(folder / receipts.NAME, step=step, settings=None, code="", files=made)

    def require_raw(self, folder: Path) -> None:
        """Check that all raw files are there, and those that came by themselves with their bytes.

        UserError names all that is missing, and what to do.
        """
        has_receipt = self.is_stand_in or (folder / receipts.NAME).is_file()
        if has_receipt:
            self.require_unaltered(folder)
        missing = [path for path in self.raw_files(folder, mirror=None) if not path.exists()]
        if missing:
            names, are = " and ".join(map(str, missing)), "are" if len(missing) > 1 else "is"
            raise UserError(f"{names} {are} missing: {self.origin.by_hand or FETCH}")
        if not has_receipt:
            self.require_unaltered(folder)

    def require_unaltered(self, folder: Path, *, deep: bool = False) -> bool:
        """Check the bytes of raw files that came by themselves or have a checksum; say whether anything tells them.

        UserError names one that is altered. `deep` is as of `receipts.objections`.
        """
        receipt = folder / receipts.NAME
        if self.is_stand_in or receipt.is_file():
            receipts.require(receipt, FETCH, settings=self.drawn_with, deep=deep)
            return True
        there = {folder / name: digest for name, digest in self.checksums.items()}
        there = {path: digest for path, digest in there.items() if path.exists()}
        for path, digest in there.items():
            if receipts.sha256(path) != digest:
                raise UserError(
                    f"{path} is not the published file: its SHA-256 is not {digest}; {FETCH}"
                )
        return bool(there)

    def inputs_of_preparation(self, folder: Path) -> dict[str, str]:
        """Raw files that may change, and are then prepared anew: path -> SHA-256."""
        return {}

    def state_of_raw(self, folder: Path) -> str:
        """Another text once one of these has changed, told without reading them."""
        return ""

    # Prepared arrays

    @property
    def preparation(self) -> dict[str, Any]:
        """The settings that the raw files and the prepared arrays depend on."""
        return self.model_dump(mode="json", include=self.decisive)

    def preparation_of(self, sources: Collection[str]) -> dict[str, Any]:
        """The settings that some of the prepared arrays depend on."""
        return self.preparation

    def prepare(self, raw: Path, out: Path, *, processes: int = 1) -> None:
        """Turn the raw files into arrays `<split>.<array>.npy`; a run that was ended goes on.

        The examples of a split stand in the order of their list; `labels` uint8 (n), and `ids` int32
        (n), the place in that list. Data that may be shown around have `examples.npz` for a figure.

        Only one call at a time may fill a folder. UserError if a raw file is missing, damaged or altered, or the disk is
        full: all bad files are named in the end, and the others are kept. Also if raw files change meanwhile.
        """
        require_writable(out)
        self.require_raw(raw)
        remove_litter(out)
        before = self.state_of_raw(raw)
        self._work.prepare(raw, out, self, processes)
        inputs = self.inputs_of_preparation(raw)
        if self.state_of_raw(raw) != before:
            raise UserError(f"{raw} has changed while it was prepared; run the same command again")
        prepared.end(out, self.preparation, self.kind, inputs)

    def modality(self, source: str) -> Modality:
        """How a network reads a stored array."""
        return Modality(source=source, **dict(self.sources[source]))

    @property
    @abstractmethod
    def holds_out(self) -> bool:
        """Whether some training examples are held out to choose checkpoints on."""

    @property
    def splits(self) -> list[SplitName]:
        """The splits that are stored."""
        return ["train", "validation", "test"] if self.holds_out else ["train", "test"]

    @property
    def validation(self) -> Literal["test", "validation"]:
        """The split that checkpoints are chosen on."""
        return "validation" if self.holds_out else "test"

    def arrays(self, split: SplitName) -> list[str]:
        """The arrays that are stored of a split."""
        return [*self.sources, "labels", "ids"]

    @property
    def by_label(self) -> dict[str, str]:
        """Source -> array of the same test examples, biased as those for training are."""
        return {}

    @property
    @abstractmethod
    def counts(self) -> tuple[int, int, int]:
        """How many examples there are to train, those held out included, how many test, and how many are held out."""

    @property
    def sizes(self) -> dict[SplitName, int]:
        """How many examples each split has; `validation` is 0 where it is the test set."""
        train, test, held_out = self.counts
        return {"train": train - held_out, "validation": held_out, "test": test}

    @abstractmethod
    def shape(self, source: str) -> list[int]:
        """Shape of an example as it is stored, a byte a value: what is gray is stored with one channel."""

    # What is said of it

    @property
    def is_stand_in(self) -> bool:
        """Whether its data are made up, in place of the paper's."""
        return self.drawn_with is not None

    @property
    def caveat(self) -> str | None:
        """What of the paper's data is not known, so that ours differ; None if nothing is."""
        return None

    @property
    def has_examples(self) -> bool:
        """Whether some of its data may be shown around: those of others' recordings may not."""
        return self.is_stand_in


def remove_litter(folder: Path) -> None:
    """Remove what killed processes left half written; what can be gone on with stays."""
    with suppress(OSError):  # of a folder that can only be read
        for path in folder.glob(".*.part[0-9]*"):
            path.unlink(missing_ok=True)
