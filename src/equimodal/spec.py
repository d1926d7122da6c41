"""What decides one training run.

A `RunSpec` holds every setting that a run depends on and nothing else: equal specs give equal
bytes. The sections below are the schema of params.yaml as well; `equimodal.params` reads the file.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

PolicyName = Literal["vanilla", "guided"]

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A part of params.yaml: typed, frozen, and closed to keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


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
    normalization: Normalization


class FourConv(Section):
    """The four-convolution branch of Colored-and-gray-MNIST."""

    kind: Literal["four_conv"]
    widths: Annotated[tuple[Count, ...], Field(min_length=4, max_length=4)]
    batch_norm: bool
    fused_after: Annotated[tuple[Annotated[int, Field(ge=1, le=4)], ...], Field(min_length=1)]


class Fusion(Section):
    """Settings of the fusion modules."""

    squeeze_ratio: Positive
    gate_scale: Positive


class Schedule(Section):
    """Lower the learning rate when the training loss stops falling (reduce on plateau)."""

    factor: Annotated[float, Field(gt=0, lt=1)]
    patience: Annotated[int, Field(ge=0)]
    threshold: NotNegative
    min_rate: NotNegative


class Training(Section):
    """How every network of a data set is trained."""

    batch_size: Count
    momentum: Annotated[float, Field(ge=0, lt=1)]
    weight_decay: NotNegative
    max_epochs: Count
    perfect_epochs: Count
    schedule: Schedule | None


class Balance(Section):
    """When the guided policy takes re-balancing steps (Algorithm 1)."""

    tolerance: NotNegative
    window: Count
    warmup_epochs: Count


class RunSpec(Section):
    """Everything that decides one training run: equal specs give equal results."""

    dataset: str
    inputs: str
    modalities: dict[str, Modality]
    classes: Annotated[int, Field(ge=2)]
    validation: Literal["test", "validation"]  # the split that checkpoints are chosen on
    policy: PolicyName
    learning_rate: Positive
    seed: Annotated[int, Field(ge=0)]
    network: FourConv
    fusion: Fusion
    training: Training
    balance: Balance | None  # None where the policy takes no re-balancing steps

    @property
    def name(self) -> str:
        """Folder of the run, such as `colored_mnist/distinct/guided/lr0.01/seed0`."""
        rate = f"lr{self.learning_rate:g}"
        return f"{self.dataset}/{self.inputs}/{self.policy}/{rate}/seed{self.seed}"

    @property
    def method(self) -> str:
        """Row of Table 1 that the run belongs to: its policy, or `unimodal`."""
        return self.policy if len(self.modalities) > 1 else "unimodal"
