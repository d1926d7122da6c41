"""Squeeze-and-excitation block: what an MMTM is to a network of one modality (paper, Sec. 6.4)."""

from torch import nn

from equimodal.fusion.base import REGULAR, Features, Flow, Fusion, Masks, squeeze


class SqueezeExcite(Fusion):
    """Gate the channels of one modality by what it sees itself.

    Built for uni-modal networks that are comparable to the multi-modal ones: the code is as wide as
    that of an MMTM between two feature maps of this many channels (official code, `SEonly`).
    """

    def __init__(self, modality: str, channels: int, *, squeeze_ratio: float, gate_scale: float):
        """Build the block; the code has `2 * (2 * channels) / squeeze_ratio` units."""
        super().__init__()
        self.modalities = (modality,)
        self.gate_scale = gate_scale
        code = int(4 * channels / squeeze_ratio)
        self.excite = nn.Sequential(
            nn.Linear(channels, code), nn.ReLU(), nn.Linear(code, channels), nn.Sigmoid()
        )

    def forward(
        self, features: Features, flow: Flow = REGULAR, masks: Masks | None = None
    ) -> Features:
        """Return the gated feature map. With one modality every flow is the regular one."""
        (modality,) = self.modalities
        x = features[modality]
        gate = self.gate_scale * self.excite(squeeze(x, (masks or {}).get(modality)))
        return {modality: x * gate.view(*gate.shape, *[1] * (x.ndim - 2))}

    def shared_parameters(self) -> list[nn.Parameter]:
        """None: there is nobody to share with."""
        return []

    def own_parameters(self, modality: str) -> list[nn.Parameter]:
        """All of the block."""
        return list(self.excite.parameters())

    def reset_recording(self) -> None:
        """Nothing is recorded."""
