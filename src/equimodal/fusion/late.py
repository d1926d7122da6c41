"""Late fusion: the branches meet in one classifier of their concatenated features."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

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

    def own_parameters(self, modality: str) -> list[nn.Parameter]:
        """None: every answer is made by all of the classifier."""
        return []

    def _outputs(self, squeezes: Vectors) -> Vectors:
        logits = self.squeeze(torch.cat(list(squeezes.values()), dim=-1))
        return dict.fromkeys(self.modalities, logits)

    def _averaged(self, squeezes: Vectors, w: Vectors) -> Vectors:
        return squeezes

    def _instead(self, modality: str, squeezes: Vectors) -> Float[Tensor, "batch classes"]:
        means = {m: self.get_buffer(f"mean_gate_{m}").expand_as(h) for m, h in squeezes.items()}
        return self._outputs(means | {modality: squeezes[modality]})[modality]

    def modulate(
        self, x: Float[Tensor, "batch channels *space"], by: Float[Tensor, "batch outputs ..."]
    ) -> Float[Tensor, "batch classes"]:
        """Return the logits: `x` is not modulated but classified."""
        return by.flatten(1)
