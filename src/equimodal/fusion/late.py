"""Late fusion: the branches meet in their classifiers only."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from equimodal.fusion.squeezed import SqueezeFusion, Vectors


class LateFusion(SqueezeFusion):
    """Answer from the squeezes of all modalities, h, by one linear layer: z = W [h_0, h_1, ...] + b.

    With classifiers of the branches' own the answer is the mean of theirs, z = mean_u f_u(h_u). So it is a
    network without fusion, seen as one with: what a branch owes to the others is defined for it too.
    The share of branch u in the answer, of M branches, is z_u = f_u(h_u), or M W_u h_u + b of the one layer;
    z is the shares' mean.

    Not in the paper: it measures and re-balances the commonest of networks. Each branch's answer is z.
    Isolated, it is that of its own squeeze and the training-set means of the others'; in a re-balancing
    step on the branch, of its own and the running means of the others'. So it is trained without them.

    Buffers: as `SqueezeFusion`'s, but `mean_gate_<m>` is the running mean of the squeeze.
    """

    def __init__(
        self,
        channels: Mapping[str, int],
        classes: int,
        heads: Mapping[str, nn.Module] | None = None,
    ):
        """Build the classifier.

        Args:
            channels: Of each modality's last features, two modalities or more.
            classes: How many there are.
            heads: Classifiers of the branches' own squeezes, in place of the one layer.

        Raises:
            ValueError: If there are fewer than two modalities, or they have not a classifier each.
        """
        super().__init__(channels)
        if heads is not None and list(heads) != list(channels):
            raise ValueError(
                f"the classifiers are of {list(heads)}, the channels of {list(channels)}"
            )
        of_all: Any = nn.Identity() if heads else nn.Linear(sum(channels.values()), classes)
        self.squeeze = of_all
        self.excite = nn.ModuleDict(heads or {})

    def shared_parameters(self) -> list[nn.Parameter]:
        """All: every answer is made by all of the classifier."""
        return list(self.parameters())

    def own_parameters(self, modality: str) -> list[nn.Parameter]:
        """None."""
        return []

    def _outputs(self, squeezes: Vectors) -> Vectors:
        if self.excite:
            logits = torch.stack(list(self._shares(squeezes).values())).mean(0)
        else:
            logits = self.squeeze(torch.cat(list(squeezes.values()), dim=-1))
        return dict.fromkeys(self.modalities, logits)

    def _shares(self, squeezes: Vectors) -> Vectors:
        if self.excite:
            return {m: self.excite[m](h) for m, h in squeezes.items()}
        parts = self.squeeze.weight.split([h.shape[-1] for h in squeezes.values()], dim=1)
        count = len(parts)
        return {
            m: F.linear(h, count * w, self.squeeze.bias)
            for (m, h), w in zip(squeezes.items(), parts, strict=True)
        }

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
