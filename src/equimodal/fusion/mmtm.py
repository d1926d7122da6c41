"""Multi-modal transfer module (MMTM; Joze et al., 2020; paper, Sec. 3)."""

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from equimodal.fusion.base import REGULAR, Features, Flow, Fusion

Vectors = dict[str, Float[Tensor, "batch _channels"]]


class MMTM(Fusion):
    """Gate the channels of each modality by what all modalities see.

    Every feature map is squeezed to its mean `h` over space (and time). The squeezes are joined,
    and from the joint code each modality gets one gate a channel (Eqs. 1, 2):

        [w_0, w_1, ...] = g([h_0, h_1, ...]),    A_b <- scale * sigmoid(w_b) * A_b.

    `g` is a fully connected layer, a ReLU, and one fully connected layer for each modality. Spatial
    sizes may differ between modalities; nothing but the squeezes crosses from one to another.

    Buffers: `mean_gate_<m>`, the mean of `w` over the samples of all regular training steps so far
    (Eq. 13), and `mean_squeeze_<m>`, the mean of `h` over the recorded samples (Eq. 6).
    """

    gates_seen: Tensor
    squeezes_seen: Tensor

    def __init__(self, channels: Mapping[str, int], *, squeeze_ratio: float, gate_scale: float):
        """Build the module.

        Args:
            channels: Channels of each modality's feature map, two modalities or more.
            squeeze_ratio: The joint code has `2 * sum(channels) / squeeze_ratio` units.
            gate_scale: Factor on the sigmoid: 2 in the paper's Eq. 2, 1 in its code.

        Raises:
            ValueError: If there are fewer than two modalities.
        """
        super().__init__()
        if len(channels) < 2:
            raise ValueError(f"an MMTM joins two modalities or more, given {list(channels)}")
        self.modalities = tuple(channels)
        self.gate_scale = gate_scale
        total = sum(channels.values())
        code = int(2 * total / squeeze_ratio)
        self.squeeze = nn.Linear(total, code)
        self.excite = nn.ModuleDict({m: nn.Linear(code, c) for m, c in channels.items()})
        self.register_buffer("gates_seen", torch.zeros((), dtype=torch.float64))
        self.register_buffer("squeezes_seen", torch.zeros((), dtype=torch.float64))
        for m, c in channels.items():
            self.register_buffer(f"mean_gate_{m}", torch.zeros(c))
            self.register_buffer(f"mean_squeeze_{m}", torch.zeros(c))

    def forward(self, features: Features, flow: Flow = REGULAR) -> Features:
        """Return the gated feature maps, each of the shape it came in."""
        squeezes = {m: features[m].flatten(2).mean(-1) for m in self.modalities}
        if flow.record:
            self.squeezes_seen += len(next(iter(squeezes.values())))
            self._accumulate("mean_squeeze", squeezes, self.squeezes_seen)
        if flow.isolated:
            gates = {m: self._gates_of_one(m, squeezes) for m in self.modalities}
        else:
            gates = self._gates(squeezes)
        held = self._held(flow)
        if self.training:
            self._update_mean_gates(gates, held)
        if held is not None:
            gates = {
                m: torch.where(h, self.get_buffer(f"mean_gate_{m}"), gates[m])
                for m, h in zip(self.modalities, held, strict=True)
            }
        return {
            m: x * _over_space(self.gate_scale * gates[m].sigmoid(), x) for m, x in features.items()
        }

    def shared_parameters(self) -> list[nn.Parameter]:
        """The joint squeeze layer."""
        return list(self.squeeze.parameters())

    def own_parameters(self, modality: str) -> list[nn.Parameter]:
        """The layer that makes the modality's gate."""
        return list(self.excite[modality].parameters())

    def reset_recording(self) -> None:
        """Forget the mean squeezes."""
        self.squeezes_seen.zero_()
        for m in self.modalities:
            self.get_buffer(f"mean_squeeze_{m}").zero_()

    def _gates(self, squeezes: Vectors) -> Vectors:
        code = self.squeeze(torch.cat(list(squeezes.values()), dim=-1)).relu()
        return {m: layer(code) for m, layer in self.excite.items()}

    def _gates_of_one(self, modality: str, squeezes: Vectors) -> Float[Tensor, "batch channels"]:
        """Gate of one modality from its own squeeze and the mean squeezes of the others (Eq. 7)."""
        alone = {
            m: h if m == modality else self.get_buffer(f"mean_squeeze_{m}").expand_as(h)
            for m, h in squeezes.items()
        }
        return self._gates(alone)[modality]

    def _held(self, flow: Flow) -> Bool[Tensor, " modalities"] | None:
        """For each modality, whether its gate is the running mean in this pass."""
        if flow.rebalance is None:
            return None
        return flow.rebalance == torch.arange(len(self.modalities), device=flow.rebalance.device)

    @torch.no_grad()
    def _update_mean_gates(self, gates: Vectors, held: Bool[Tensor, " modalities"] | None) -> None:
        # In a regular pass the running means are not used, so it does not matter that they take in
        # the current batch before the step.
        samples = len(next(iter(gates.values())))
        regular = 1.0 if held is None else (~held.any()).double()
        self.gates_seen += samples * regular
        self._accumulate("mean_gate", gates, self.gates_seen, regular)

    @torch.no_grad()
    def _accumulate(
        self, buffer: str, values: Vectors, seen: Tensor, counted: Tensor | float = 1.0
    ) -> None:
        """Move the running means by the share of this batch in all samples seen."""
        for m, x in values.items():
            mean = self.get_buffer(f"{buffer}_{m}")
            share = counted * len(x) / seen.clamp(min=1)
            mean += (x.mean(0) - mean) * share.to(mean.dtype)


def _over_space(
    gate: Float[Tensor, "batch channels"], like: Float[Tensor, "batch channels *space"]
) -> Float[Tensor, "batch channels ..."]:
    return gate.view(*gate.shape, *[1] * (like.ndim - 2))
