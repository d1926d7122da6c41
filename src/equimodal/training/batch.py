"""What one step or one evaluation sees."""

from dataclasses import dataclass

from jaxtyping import Float, Int64
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Some examples: the inputs of each modality, and the labels."""

    inputs: dict[str, Float[Tensor, "batch _channels *_space"]]
    labels: Int64[Tensor, " batch"]

    def __len__(self) -> int:
        return len(self.labels)
