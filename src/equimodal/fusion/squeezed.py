"""Fusion by squeezes: each branch is modulated by what all branches see on average."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from equimodal.fusion.base import (
    REGULAR,
    Features,
    Flow,
    Fusion,
    Masks,
    require_names,
    squeeze,
)

Vectors = dict[str, Float[Tensor, "batch _outputs"]]


@dataclass(frozen=True)
class RunningMean:
    """What stands in for the live fusion in a re-balancing step (Eqs. 13, 14).

    The defaults are the paper's; the others are what its official code does.

    Attributes:
        of: Average the activations `w` and apply the sigmoid to the mean, or the sigmoids.
        source: Average each branch's own, or (a slip of the official code) the first branch's for
            all branches.
        updates: By regular training steps, or by every pass, evaluation included.
        weights: Every sample counts alike, or every batch.
    """

    of: Literal["pre_sigmoid", "post_sigmoid"] = "pre_sigmoid"
    source: Literal["own", "first"] = "own"
    updates: Literal["regular_steps", "every_pass"] = "regular_steps"
    weights: Literal["samples", "batches"] = "samples"


PAPER = RunningMean()


class SqueezeFusion(Fusion):
    """Modulate the features of each modality by the squeezes of all.

    Every feature map is squeezed to its mean `h` over space (and time). The squeezes are joined, and
    from the joint code each modality gets one vector (Eq. 1):

        [w_0, w_1, ...] = g([h_0, h_1, ...]),

    `g` being a fully connected layer, a ReLU, and one fully connected layer for each modality. What
    a subclass makes of `w` and the features is its `activation` and `modulate`. Spatial sizes may
    differ between modalities; nothing but the squeezes crosses from one to another.

    Buffers: `mean_gate_<m>`, the running mean of `w` (or of its activation), and `mean_squeeze_<m>`,
    the mean of `h` over the recorded samples (Eq. 6).
    """

    outputs = 1  # entries of `w` for each channel

    gates_seen: Tensor
    squeezes_seen: Tensor

    def __init__(
        self,
        channels: Mapping[str, int],
        *,
        squeeze_ratio: float = 4,
        running_mean: RunningMean = PAPER,
    ):
        """Build the module.

        Args:
            channels: Channels of each modality's feature map, two modalities or more.
            squeeze_ratio: The joint code has `2 * sum(channels) / squeeze_ratio` units.
            running_mean: What a re-balancing step uses.

        Raises:
            TypeError: If the channels are no dict.
            ValueError: If there are fewer than two modalities, channels are no counts, or they differ where
                there is one running mean for all.
        """
        super().__init__()
        if not isinstance(channels, Mapping):
            raise TypeError(
                f"{type(self).__name__} takes a dict of modality -> channels, given {channels!r}"
            )
        require_names(channels)
        if len(channels) < 2:
            raise ValueError(
                f"{type(self).__name__} joins two modalities or more, given {list(channels)}"
            )
        if running_mean.source == "first" and len(set(channels.values())) > 1:
            raise ValueError(
                f"one running mean for all modalities needs equal channels, given {dict(channels)}"
            )
        self.modalities = tuple(channels)
        self.running_mean = running_mean
        if not all(isinstance(c, Integral) and c >= 1 for c in channels.values()):
            raise ValueError(f"channels are whole numbers from 1 on, given {dict(channels)}")
        total = sum(channels.values())
        code = int(2 * total / squeeze_ratio) if squeeze_ratio > 0 else 0
        if code < 1:
            raise ValueError(f"squeeze_ratio {squeeze_ratio} leaves no code of {total} channels")
        self.squeeze = nn.Linear(total, code)
        self.excite = nn.ModuleDict(
            {m: nn.Linear(code, self.outputs * c) for m, c in channels.items()}
        )
        self.register_buffer("gates_seen", torch.zeros((), dtype=torch.float64))
        self.register_buffer("squeezes_seen", torch.zeros((), dtype=torch.float64))
        for m, c in channels.items():
            self.register_buffer(f"mean_gate_{m}", self._stored(torch.zeros(self.outputs * c)))
            self.register_buffer(f"mean_squeeze_{m}", torch.zeros(c))

    def activation(self, w: Float[Tensor, "*batch outputs"]) -> Float[Tensor, "*batch outputs"]:
        """Return what the features are modulated by: `w`, unless a subclass has a nonlinearity."""
        return w

    @abstractmethod
    def modulate(
        self, x: Float[Tensor, "batch channels *space"], by: Float[Tensor, "batch outputs ..."]
    ) -> Float[Tensor, "batch channels *space"]:
        """Return the features modulated; `by` has a length-one dimension for each of space."""

    def forward(
        self, features: Features, flow: Flow = REGULAR, masks: Masks | None = None
    ) -> Features:
        """Return the modulated feature maps, each of the shape it came in: (batch, channels, *space).

        Raises:
            ValueError: If the features have other modalities or channels than the module, or are of different
                numbers of examples, a mask does not fit, or the flow names no branch.
            RuntimeError: If an isolated pass comes before any recorded one.
            TypeError: If features and masks are no dicts of tensors, features no floats, or the flow is none; or
                if means are to be taken but were cast to half precision with the module.
        """
        masks = masks or {}
        self._check(features, flow, masks)
        squeezes = {m: squeeze(features[m], masks.get(m)) for m in self.modalities}
        if flow.record:
            self._record(squeezes)
        if flow.isolated:
            others = {m: self._standing_in(m, h, flow) for m, h in squeezes.items()}
            w = {m: self._outputs(others | {m: h})[m] for m, h in squeezes.items()}
        else:
            w = self._shares(squeezes) if flow.apart else self._outputs(squeezes)
        held = self._held(flow)
        every_pass = self.running_mean.updates == "every_pass"
        if (self.training or every_pass) and not flow.frozen:
            self._update_running_means(self._averaged(squeezes, w), held)
        by = {m: self.activation(x) for m, x in w.items()}
        if held is not None:
            by = {
                m: torch.where(h, self._instead(m, squeezes), by[m])
                for m, h in zip(self.modalities, held, strict=True)
            }
        # In the features' precision, which autocast may have lowered: the product has it too then.
        return {
            m: self.modulate(x, by[m].view(*by[m].shape, *[1] * (x.ndim - 2)).to(x.dtype))
            for m, x in features.items()
        }

    def _check(self, features: Features, flow: Flow, masks: Masks) -> None:
        for what, given in (("features", features), ("masks", masks)):
            if not isinstance(given, Mapping) or any(
                not isinstance(x, Tensor) for x in given.values()
            ):
                raise TypeError(
                    f"{type(self).__name__} takes {what} as a dict of modality -> tensor, given"
                    f" {_kinds(given)}; where examples lack a modality, pass zeros and a mask"
                )
        if not isinstance(flow, Flow):
            raise TypeError(f"expected a Flow, such as balancer.flow, given {flow!r}")
        if features.keys() != set(self.modalities) or masks.keys() - features.keys():
            raise ValueError(
                f"{type(self).__name__} joins {list(self.modalities)}, given {list(features)}"
                + (f" and masks of {list(masks)}" if masks else "")
            )
        for m, x in features.items():
            channels = len(self.get_buffer(f"mean_squeeze_{m}"))
            if x.ndim < 2 or x.shape[1] != channels:
                raise ValueError(
                    f"{type(self).__name__} expects {m!r} as (batch, {channels} channels, space or"
                    f" time, if any), given {tuple(x.shape)}; transpose tokens of shape (batch, time,"
                    " channels)"
                )
            if not x.is_floating_point():
                raise TypeError(
                    f"the features of {m!r} are {x.dtype}: expected floats; embed or scale them"
                )
        if len({len(x) for x in features.values()}) > 1:
            raise ValueError(
                f"the features are of different numbers of examples: { {m: len(x) for m, x in features.items()} }"
            )

    def shared_parameters(self) -> list[nn.Parameter]:
        """The joint squeeze layer."""
        return list(self.squeeze.parameters())

    def own_parameters(self, modality: str) -> list[nn.Parameter]:
        """The layer that makes the modality's vector."""
        return list(self.excite[modality].parameters())

    def reset_recording(self) -> None:
        """Forget the mean squeezes."""
        self.squeezes_seen.zero_()
        for m in self.modalities:
            self.get_buffer(f"mean_squeeze_{m}").zero_()

    def _outputs(self, squeezes: Vectors) -> Vectors:
        code = self.squeeze(torch.cat(list(squeezes.values()), dim=-1)).relu()
        return {m: layer(code) for m, layer in self.excite.items()}

    def _shares(self, squeezes: Vectors) -> Vectors:
        """What each branch gets where they are apart."""
        return self._outputs(squeezes)

    def _standing_in(
        self, modality: str, h: Float[Tensor, "batch channels"], flow: Flow
    ) -> Float[Tensor, "batch channels"]:
        """What the other branches see of a modality in an isolated pass (Eq. 7)."""
        if flow.zeroed:
            return torch.zeros_like(h)
        self._require_recording()
        return self.get_buffer(f"mean_squeeze_{modality}").expand_as(h)

    def _held(self, flow: Flow) -> Bool[Tensor, " modalities"] | None:
        """For each modality, whether it gets its running mean in this pass."""
        if flow.rebalance is None:
            return None
        count = len(self.modalities)
        if (
            flow.rebalance.dtype.is_floating_point or flow.rebalance.dtype == torch.bool
            if isinstance(flow.rebalance, Tensor)
            else isinstance(flow.rebalance, bool) or flow.rebalance not in range(-1, count)
        ):  # the value of a tensor is not looked at, which would wait for the device
            raise ValueError(
                f"Flow(rebalance={flow.rebalance!r}) names no branch of {list(self.modalities)}: they"
                f" are 0 to {count - 1}, and -1 is none"
            )
        branch = torch.as_tensor(flow.rebalance, device=self.gates_seen.device)
        return branch == torch.arange(count, device=branch.device)

    def _stored(self, w: Float[Tensor, "*batch outputs"]) -> Float[Tensor, "*batch outputs"]:
        """What is averaged of `w`."""
        return self.activation(w) if self.running_mean.of == "post_sigmoid" else w

    def _averaged(self, squeezes: Vectors, w: Vectors) -> Vectors:
        """What the running means are of."""
        return w

    def _instead(self, modality: str, squeezes: Vectors) -> Float[Tensor, "*batch outputs"]:
        """What stands in for the activation of the modality's `w` in a re-balancing step on it."""
        mean = self.get_buffer(f"mean_gate_{modality}")
        return mean if self.running_mean.of == "post_sigmoid" else self.activation(mean)

    def _require_precision(self) -> None:
        """Means over many samples: 16 bits end to count them long before the epoch is over."""
        if self.gates_seen.dtype in (torch.float16, torch.bfloat16):
            raise TypeError(
                f"the running means of this {type(self).__name__} were cast to {self.gates_seen.dtype}, too"
                " coarse to count samples: leave the module in float32 and use torch.autocast"
            )

    def _require_recording(self) -> None:
        if float(self.squeezes_seen) == 0:
            raise RuntimeError(
                "an isolated pass needs the training-set means: pass the training set with"
                " Flow(record=True) first"
            )

    @torch.no_grad()
    def _record(self, squeezes: Vectors) -> None:
        self._require_precision()
        samples = len(squeezes[self.modalities[0]])
        if not samples:  # an empty batch has no mean
            return
        self.squeezes_seen += samples
        for m, h in squeezes.items():
            mean = self.get_buffer(f"mean_squeeze_{m}")
            mean += (h.mean(0) - mean) * (samples / self.squeezes_seen).to(mean.dtype)

    @torch.no_grad()
    def _update_running_means(self, w: Vectors, held: Bool[Tensor, " modalities"] | None) -> None:
        self._require_precision()
        # A regular pass does not use the running means, so it does not matter that they take in the
        # current batch before the step.
        if held is None or self.running_mean.updates == "every_pass":
            counted = torch.ones_like(self.gates_seen)
        else:
            counted = (~held.any()).double()
        sources = {
            m: w[m if self.running_mean.source == "own" else self.modalities[0]]
            for m in self.modalities
        }
        means = {m: self._stored(source).mean(0) for m, source in sources.items()}
        # A pass that overflows, as steps of mixed precision do that a scaler skips, would stay for good.
        finite = torch.stack([mean.isfinite().all() for mean in means.values()]).all()
        counted = counted * finite
        weight = len(w[self.modalities[0]]) if self.running_mean.weights == "samples" else 1
        self.gates_seen += weight * counted
        share = counted * weight / self.gates_seen.clamp(min=1)
        for m, new in means.items():
            mean = self.get_buffer(f"mean_gate_{m}")
            mean += ((new - mean) * share.to(mean.dtype)).where(finite, 0.0)


def _kinds(given: object) -> str:
    """Types, for a message."""
    if not isinstance(given, Mapping):
        return f"a {type(given).__name__}"
    return f"{ {m: type(x).__name__ for m, x in given.items()} }"
