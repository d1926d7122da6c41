"""What decides one training run.

A `RunSpec` holds every setting that a run depends on and nothing else: equal specs give equal
bytes. The sections below are the schema of params.yaml as well; `equimodal.study.params` reads the file.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from equimodal.study.files import read_json, read_text, reading
from equimodal.study.methods import METHODS
from equimodal.study.schema import Count, NotNegative, Positive, Section, Share, first_reason
from equimodal.training.balance import Balance

# The section of params.yaml that a policy needs: only its runs depend on it.
POLICY_SECTION = {"vanilla": None, "rubi": "rubi", "random": "balance", "guided": "balance"} | {
    name: "methods" if method.settings else None for name, method in METHODS.items()
}
if TYPE_CHECKING:
    PolicyName = str
else:
    PolicyName = Literal[tuple(POLICY_SECTION)]


class Normalization(Section):
    """Per channel, `(x / 255 - mean) / std`."""

    mean: tuple[float, ...]
    std: tuple[Positive, ...]

    @model_validator(mode="after")
    def _one_pair_a_channel(self) -> "Normalization":
        if len(self.mean) != len(self.std):
            raise ValueError(f"{len(self.mean)} means but {len(self.std)} standard deviations")
        return self


class Modality(Section):
    """One input of a network: which stored array it reads and how the values are scaled."""

    source: str
    channels: Count
    normalization: Normalization | None  # None: by the training examples, as `prepare` found them
    # Of space or time, of data of one's own: 2 of images, 1 of sequences, 0 of features. None: the kind of network tells.
    axes: Annotated[int | None, Field(exclude_if=lambda x: x is None)] = None


FourCounts = Annotated[tuple[Count, ...], Field(min_length=4, max_length=4)]


def each_once(named: tuple[Any, ...]) -> tuple[Any, ...]:
    """Raise ValueError if something is named twice."""
    if len(set(named)) < len(named):
        raise ValueError("name each once")
    return named


Places = AfterValidator(each_once)  # of fusion modules


class OfBranches(Section):
    """How the branches of a network are joined.

    `classifier` is of networks that are fused nowhere else: each branch's own, their logits averaged, or one
    layer on the concatenated features. The first leaves no trace in a spec, so that older ones stay as they are.
    """

    classifier: Annotated[Literal["own", "shared"], Field(exclude_if=lambda x: x == "own")] = "own"

    @model_validator(mode="after")
    def _fused_once(self) -> "OfBranches":
        if self.classifier == "shared" and getattr(self, "fused_after", False):
            raise ValueError("classifier: shared is of networks with fused_after: []")
        return self


class FourConv(OfBranches):
    """The four-convolution branch of Colored-and-gray-MNIST."""

    kind: Literal["four_conv"]
    widths: FourCounts
    kernels: FourCounts
    input_norm: bool
    batch_norm: bool
    convolutions_from: Literal["torch", "he_fan_out"] = "torch"  # how their weights are drawn
    fused_after: Annotated[tuple[Annotated[int, Field(ge=1, le=4)], ...], Places]


class FourLayers(OfBranches):
    """The branch of data of one's own, whatever their shape."""

    kind: Literal["four_layers"]
    widths: FourCounts
    fused_after: Annotated[tuple[Annotated[int, Field(ge=1, le=4)], ...], Places]


class ResNet18(OfBranches):
    """The ResNet-18 branch of ModelNet40."""

    kind: Literal["resnet18"]
    width: Positive
    fused_after: Annotated[tuple[Annotated[int, Field(ge=1, le=4)], ...], Places]


class I3D(OfBranches):
    """The inflated-inception branch of NVGesture."""

    kind: Literal["i3d"]
    width: Positive
    dropout: Share
    norm_momentum: Share
    fused_after: Annotated[tuple[Annotated[int, Field(ge=1, le=7)], ...], Places]


NetworkSettings = Annotated[FourConv | FourLayers | ResNet18 | I3D, Field(discriminator="kind")]


OFFICIAL_SEED = 777  # of what the official code draws alike in all repeats
HEADLINE_THRESHOLD = 0.001  # of the parameters that the L1 study calls sparse: the paper's was lost


class Switches(Section):
    """Where the paper and its official code differ, and what we do: a preset of params.yaml.

    docs/fidelity.md says what each switch is about.
    """

    gate_scale: Positive
    squeeze_ratio: Positive
    mean_gate_of: Literal["pre_sigmoid", "post_sigmoid"]
    mean_gate_source: Literal["own", "first"]
    mean_gate_updates: Literal["regular_steps", "every_pass"]
    mean_gate_weights: Literal["samples", "batches"]
    log_base: Literal["10", "e"]
    speed_norm: Literal["before_step", "after_step"]
    speed_sums: Literal["regular_steps", "every_step"]
    l1_in_speed: bool
    held_parameters: Literal["skip", "zero_gradient"]
    evaluation_mode: Literal["regular", "left_behind"]
    validation_flips: bool
    squeeze_flips: bool
    perfect_epochs: Count
    schedule: bool
    # `shared_by_torch`: an earlier version's, another sequence than the official code's.
    random_choices: Literal["per_run", "shared", "shared_by_torch"]
    data_order: Literal["per_run", "shared"]
    # Anything but float32 is for speed, and changes digits. tf32 says something on GPUs only. Float32 leaves no
    # trace in a spec, so that networks from before there was a choice are of the same settings.
    arithmetic: Annotated[
        Literal["float32", "tf32", "bfloat16"], Field(exclude_if=lambda x: x == "float32")
    ] = "float32"
    # What is measured beside the usual: cosines of gradients in each epoch, linear probes of the branches. None
    # leaves no trace either.
    measured: Annotated[
        tuple[Literal["cosines", "probes"], ...], Field(exclude_if=lambda x: not x)
    ] = ()


class Schedule(Section):
    """Lower the learning rate when the training loss stops falling (reduce on plateau)."""

    factor: Annotated[float, Field(gt=0, lt=1)]
    patience: Annotated[int, Field(ge=0)]
    threshold: NotNegative
    min_rate: NotNegative


class TrainingSettings(Section):
    """How every network of a data set is trained."""

    batch_size: Count
    momentum: Annotated[float, Field(ge=0, lt=1)]
    weight_decay: NotNegative
    max_epochs: Count
    schedule: Schedule
    sparsity_thresholds: tuple[Positive, ...]

    @field_validator("sparsity_thresholds")
    @classmethod
    def _with_headline(cls, thresholds: tuple[float, ...]) -> tuple[float, ...]:
        if HEADLINE_THRESHOLD not in thresholds:
            raise ValueError(
                f"{HEADLINE_THRESHOLD} has to be among them, the sparsity of the L1 study"
            )
        return thresholds


class ClipViews(Section):
    """What is seen of stored clips: a random part in training, the middle in evaluation."""

    frames: Count  # consecutive
    crop: Count  # side of the square, the same in all frames and modalities
    evaluated: Literal["center", "all"]  # which frames are seen in evaluation


class Augmentation(Section):
    """Random changes of training examples."""

    flip: Share  # chance of a horizontal flip
    shared: bool  # one decision for all modalities, or one for each
    flip_swaps: tuple[tuple[int, int], ...] = ()  # labels that a flip makes of each other
    clip: ClipViews | None = None  # None for images

    @model_validator(mode="after")
    def _one_label(self) -> "Augmentation":
        if self.flip_swaps and not self.shared:
            raise ValueError("flip_swaps changes labels, so flips have to be shared: true")
        return self


class RubiSettings(Section):
    """The RUBi baseline."""

    modality: str
    hidden_layers: Annotated[int, Field(ge=0)]
    weight: NotNegative


class RunSpec(Section):
    """Everything that decides one training run: equal specs give equal results."""

    dataset: str
    inputs: str
    modalities: dict[str, Modality]
    data: dict[str, Any]  # the settings that the data set was prepared with
    classes: Annotated[int, Field(ge=2)]
    validation: Literal["test", "validation"]  # the split that checkpoints are chosen on
    policy: PolicyName
    fidelity: str  # name of the preset
    pretrained: str | None = None  # file of the weights that the branches start from
    variant: str = ""  # what of `balance` differs from the data set's, as part of the name
    learning_rate: Positive
    l1: NotNegative
    seed: Annotated[int, Field(ge=0)]
    network: NetworkSettings
    switches: Switches
    training: TrainingSettings
    augmentation: Augmentation
    balance: Balance | None  # None where the policy takes no re-balancing steps
    rubi: RubiSettings | None  # None unless the policy is rubi
    # Hyper-parameters of a method of others, and files of other runs that it reads, by modality.
    parameters: Annotated[dict[str, Any] | None, Field(exclude_if=lambda x: x is None)] = None
    members: Annotated[dict[str, str] | None, Field(exclude_if=lambda x: x is None)] = None

    @property
    def name(self) -> str:
        """Folder of the run, such as `colored_mnist/distinct/guided/paper/lr0.01/seed0`."""
        settings = [
            f"lr{self.learning_rate:g}",
            *([self.start] if self.pretrained else []),
            *([f"l1_{self.l1:g}"] if self.l1 else []),
            *([self.variant] if self.variant else []),
        ]
        cell = f"{self.dataset}/{self.inputs}/{self.policy}/{self.fidelity}"
        return f"{cell}/{'-'.join(settings)}/seed{self.seed}"

    @property
    def reads(self) -> list[str]:
        """Files that the training starts from."""
        first = [] if self.pretrained is None else [self.pretrained]
        return [*first, *(self.members or {}).values()]

    @property
    def start(self) -> Literal["scratch", "pretrained"]:
        """Whether the branches start from random weights."""
        return "pretrained" if self.pretrained else "scratch"

    @property
    def method(self) -> str:
        """Row of Table 1 that the run belongs to: its policy, or `unimodal`."""
        return self.policy if len(self.modalities) > 1 else "unimodal"


def read_spec(folder: Path) -> RunSpec:
    """Read the spec of a run folder; UserError if it is missing, damaged or of another version."""
    return read_json(folder / "spec.json", RunSpec, "train the run")


def read_specs(path: Path, remedy: str) -> dict[str, RunSpec]:
    """Read the specs that `equimodal collect` wrote, one a line, by name of the run; UserError as `read_spec`."""
    with reading(path, "the spec of a run in each line, as this version writes it", remedy):
        lines = read_text(path).splitlines()
        specs = [_spec_of_line(line, number) for number, line in enumerate(lines, start=1)]
    return {spec.name: spec for spec in specs}


def _spec_of_line(line: str, number: int) -> RunSpec:
    try:
        return RunSpec.model_validate_json(line, strict=True)
    except ValidationError as error:
        raise ValueError(f"line {number}: {first_reason(error)}") from None
