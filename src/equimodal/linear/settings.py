"""The settings of the second paper: config/linear, one file for what all scales share, one for each scale."""

from functools import reduce
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, ValidationError, model_validator

from equimodal.study.datasets import ColoredMnist
from equimodal.study.errors import UserError
from equimodal.study.params import Axis, Params
from equimodal.study.schema import Count, Few, NotNegative, Positive, Section, Sentence, Share
from equimodal.study.settings_files import (
    as_json,
    explain,
    known_scales,
    overlay,
    read_scales,
    read_yaml,
)

# Nearer to 1 nothing but rounding is left that only B could add.
Correlations = Axis[Annotated[float, Field(ge=-0.999999, le=0.999999)]]
Ratios = Axis[Annotated[float, Field(ge=1, allow_inf_nan=False)]]
Small = Annotated[float, Field(gt=0, lt=1)]
Seed = Annotated[int, Field(ge=0)]


class TwoLayer(Section):
    """Two-layer networks on y = x_A + x_B: curves, times and mis-attribution (F1 to F6)."""

    depth: ClassVar = 2
    width: Count  # hidden units, of each branch
    scale: Positive  # standard deviation of each initial weight
    step_size: Positive
    steps: Count  # at most
    curve_steps: Count  # of the learning curves
    curve_ratio: Annotated[float, Field(ge=1)]  # sigma_A / sigma_B of the same
    curve_correlations: Correlations  # rho of the same
    tolerance: NotNegative  # a run stops once no |s - W Sigma| is above it
    correlations: Correlations
    ratios: Ratios
    seeds: Few


class Deep(Section):
    """Deep networks, every fusion layer from 1 to the depth, on y = x_A + x_B (F12 to F15)."""

    depth: Annotated[Few, Field(ge=3)]
    width: Count
    scale: Small  # u_0, Frobenius norm of a branch's layers
    step_size: Positive
    steps: Count
    every: Count  # steps between two records
    curve_steps: Count
    tolerance: NotNegative
    ratio: Annotated[float, Field(ge=1)]  # where it is not what changes
    correlations: Correlations
    ratios: Ratios
    scales: Axis[Small]
    seeds: Few


class RandomData(Section):
    """Random data of many inputs (F8)."""

    depth: ClassVar = 2
    inputs: Annotated[Few, Field(ge=2)]  # of each modality
    draws: Few
    seed: Seed
    width: Count
    scale: Positive
    step_size: Positive
    steps: Count
    every: Count
    tolerance: NotNegative
    largest: Annotated[float, Field(gt=1)]  # ratio predicted; draws above it are not trained


class Superficial(Section):
    """The modality that is learned first though it explains less: y = x_A + w_B x_B (F10)."""

    ratio: Annotated[float, Field(gt=1)]  # r = sigma_A / sigma_B
    w_b: Positive
    steps: Count

    @model_validator(mode="after")
    def _a_is_first_and_explains_less(self) -> Self:
        if not self.ratio < self.w_b < self.ratio**2:
            raise ValueError(
                f"w_b is {self.w_b:g}; expected above ratio and below its square, {self.ratio:g} to"
                f" {self.ratio**2:g}, where A is learned first though it explains less"
            )
        return self


class Generalization(Section):
    """More or fewer noisy examples than inputs, two-layer networks (F11)."""

    inputs: Count  # of each modality
    variance: Annotated[float, Field(gt=1)]  # of each input of A, so that it is first; 1 of B
    weight: Positive  # of each input in the target
    noise: NotNegative  # standard deviation
    examples: Axis[Count]
    steps: Count
    seeds: Few

    @model_validator(mode="after")
    def _least_squares_on_a_has_an_expected_error(self) -> Self:
        if min(self.examples) < self.inputs + 2:
            raise ValueError(
                f"examples has {min(self.examples)}; expected at least {self.inputs + 2}, two more than a"
                " modality has inputs, from where on least squares on A has an expected error"
            )
        return self


class Xor(Section):
    """The heterogeneous XOR task, two-layer ReLU networks (F16)."""

    # Of x_A, which is learned before the XOR if it is above 1/sqrt(2).
    variances: Axis[Annotated[float, Field(gt=0.5**0.5, allow_inf_nan=False)]]
    quantiles: Annotated[Count, Field(ge=2)]  # that stand for x_A's distribution
    width: Count
    steps: Count
    seeds: Few


class NoisyMnist(Section):
    """One digit as two noisy modalities, in ReLU networks fused at each layer (F17)."""

    dataset: str  # whose digits, `gray`, are taken
    depth: Annotated[Few, Field(ge=2)]
    width: Count
    feed_a: Share  # chance of a digit to be fed to A
    feed_both: Share  # and, drawn by itself, to both; `linear.noisy_mnist.noisy_pairs` says what comes of it
    faint: Share  # what is left of a digit under noise
    noise: NotNegative  # standard deviation, of normalized pixels
    learning_rate: Positive
    decay: Annotated[float, Field(gt=0, le=1)]  # of the learning rate, by epoch
    batch_size: Count
    epochs: Count
    seed: Seed


class Bridge(Section):
    """Wu et al.'s measures and guided training on these networks (`linear.bridge`)."""

    tolerance: Positive  # alpha, log10 units
    window: Count  # Q, steps


class LinearSettings(Section):
    """All of it."""

    note: Sentence | None  # said wherever a number of the scale is shown
    seed: Seed  # of initial weights and examples
    two_layer: TwoLayer
    deep: Deep
    random: RandomData
    superficial: Superficial
    generalization: Generalization
    xor: Xor
    noisy_mnist: NoisyMnist
    bridge: Bridge


def load_linear(study: Params, params: Path = Path("params.yaml")) -> LinearSettings:
    """Read the settings of a scale: what all share, and over it what it, or what it is like, has of its own.

    config/linear lies beside the study's file, `params`. UserError if a file is missing or not YAML, or a key is unknown,
    missing or of a wrong value.
    """
    files = _files(study.scale, params.parent / "config")
    raw = reduce(overlay, reversed(files.values()))
    try:
        settings = LinearSettings.model_validate_json(as_json(raw), strict=True)
    except ValidationError as error:
        faults = explain(error.errors(), raw, files, LinearSettings)
        raise UserError("\n".join(faults)) from None
    digits = settings.noisy_mnist.dataset
    with_digits = sorted(n for n, d in study.datasets.items() if isinstance(d, ColoredMnist))
    if digits not in with_digits:
        raise UserError(
            f"{next(reversed(files))}: noisy_mnist.dataset is {digits!r}; there are gray digits in {with_digits}"
        )
    return settings


def _files(scale: str, config: Path) -> dict[Path, dict[str, Any]]:
    """Read what a scale has of its own, what those have that it is like, and what all share."""
    folder, scales = config / "linear", config / "scales"
    if not folder.is_dir():
        raise UserError(f"{folder} is missing; it lies beside {scales} and comes with the code")
    known = {"base.yaml", *(f"{name}.yaml" for name in known_scales(scales))}
    if others := sorted({f.name for f in folder.iterdir()} - known):
        raise UserError(f"{folder} has {others}, of no scale; it takes {sorted(known)}")
    own = [folder / alike.name for alike in read_scales(scales / f"{scale}.yaml")]
    if not (there := [f for f in own if f.exists() or f.is_symlink()]):
        raise UserError(
            f"{folder} has nothing for the scale {scale}: add {scale}.yaml there, or say which scale it is `like`"
            f" in {scales / scale}.yaml"
        )
    return {f: read_yaml(f) for f in (*there, folder / "base.yaml")}
