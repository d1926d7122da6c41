"""Late fusion: the branches meet in one classifier of their concatenated features."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from equimodal.fusion.base import REGULAR, Features, Flow, Masks, squeeze
from equimodal.fusion.squeezed import SqueezeFusion, Vectors


class LateFusion(SqueezeFusion):
    """Answer from the squeezes of all modalities, h, by one linear layer: z = W [h_0, h_1, ...] + b.

    Not in the paper: it measures and re-balances the commonest of networks. Each branch's answer is z.
    Isolated, it is that of its own squeeze and the training-set means of the others'; in a re-balancing
    step on the branch, of its own and the running means of the others'. So it is trained without them.

    Buffers: as `SqueezeFusion`'s, but `mean_gate_<m>` is the running mean of the squeeze.
    """

    def __init__(self, channels: Mapping[str, int], classes: int):
        """Build the classifier.

        Args:
            channels: Of each modality's last features, two modalities or more.
            classes: How many there are.

        Raises:
            ValueError: If there are fewer than two modalities.
        """
        super().__init__(channels)
        self.squeeze = nn.Linear(sum(channels.values()), classes)
        self.excite = nn.ModuleDict()

    def forward(
        self, features: Features, flow: Flow = REGULAR, masks: Masks | None = None
    ) -> Features:
        """Return the logits of each branch, (batch, classes); raises as `SqueezeFusion.forward`."""
        masks = masks or {}
        self._check(features, masks)
        squeezes = {m: squeeze(features[m], masks.get(m)) for m in self.modalities}
        if flow.record:
            self._record(squeezes)
        held = self._held(flow)
        if self.training and not flow.frozen:
            self._update_running_means(squeezes, held)
        if flow.isolated:
            return self._each_with(
                {m: self._standing_in(m, h, flow) for m, h in squeezes.items()}, squeezes
            )
        together = self._each_with(squeezes, squeezes)
        if held is None:
            return together
        means = {m: self._constant(m).expand_as(h) for m, h in squeezes.items()}
        alone = self._each_with(means, squeezes)
        pairs = zip(self.modalities, held, strict=True)
        return {m: torch.where(h, alone[m], together[m]) for m, h in pairs}

    def _each_with(self, others: Vectors, own: Vectors) -> Vectors:
        return {
            m: self.squeeze(torch.cat(list((others | {m: h}).values()), -1)) for m, h in own.items()
        }

    def own_parameters(self, modality: str) -> list[nn.Parameter]:
        """None: every answer is made by all of the classifier."""
        return []

    def activation(self, w: Float[Tensor, "*batch outputs"]) -> Float[Tensor, "*batch outputs"]:
        """Return `w`."""
        return w

    def modulate(
        self, x: Float[Tensor, "batch channels *space"], by: Float[Tensor, "batch outputs ..."]
    ) -> Float[Tensor, "batch channels *space"]:
        """Return `x`, which is not modulated but classified."""
        return x
