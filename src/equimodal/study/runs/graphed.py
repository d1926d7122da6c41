"""Steps that a GPU takes as a whole: recorded once as a CUDA graph, and replayed from then on.

A small network's step is about a thousand operations, and the host is expected to take longer to ask
for one than the GPU to do it. A replay is one call. It runs the same kernels on the same memory, so what
differs from step to step has to lie in tensors that are changed in place, and no value may be asked for on
the way.
"""

from collections.abc import Callable, Hashable
from functools import partial
from typing import Protocol

import torch
from torch import Tensor, nn

from equimodal.study.data.split import Split
from equimodal.study.errors import UserError, first_line
from equimodal.training.policies import Policy

WARM_UP = 3  # steps before one is recorded, so that what is made once is made: momenta, workspaces


class Graph(Protocol):
    """A recording of what some function has a device do."""

    def capture(self, work: Callable[[], None]) -> None:
        """Record the function; it has no effect yet."""

    def replay(self) -> None:
        """Do what was recorded."""


class CudaGraph:
    """A CUDA graph of what is done on the current stream, which has to be one of its own."""

    def __init__(self) -> None:
        self._graph = torch.cuda.CUDAGraph()

    def capture(self, work: Callable[[], None]) -> None:
        """Record the function.

        UserError if it waits for the GPU or does what can not be recorded. The process had better end: torch may not be in order.
        """
        try:
            with torch.cuda.graph(self._graph, stream=torch.cuda.current_stream()):
                work()
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise UserError(
                f"the training step can not be recorded as a CUDA graph ({first_line(error)}); train with"
                " --no-graphs, or EQUIMODAL_GRAPHS=0 in the environment"
            ) from error

    def replay(self) -> None:
        """Have the GPU do it; returns at once."""
        self._graph.replay()


class Recorder:
    """Does some work on an index of examples; records it at the fourth time and replays it from then on."""

    def __init__(self, graph: Callable[[], Graph], batch: Tensor) -> None:
        """Record nothing yet. Work on an index of another length than that of the usual `batch` is not recorded."""
        self._new = graph
        self._index = batch.clone()
        self._graph: Graph | None = None
        self._recorded_for: Hashable = None
        self._calls = 0

    def do(self, work: Callable[[Tensor], None], index: Tensor, numbers: Hashable) -> None:
        """Do the work on an index, each time the same: it reads and changes tensors in place.

        `numbers` is all that it takes from Python: where they change it is recorded anew.
        """
        if len(index) != len(self._index) or self._calls < WARM_UP:
            self._calls += len(index) == len(self._index)
            work(index)
            return
        if self._graph is None or numbers != self._recorded_for:
            self._graph = None  # its memory first
            graph = self._new()
            graph.capture(partial(work, self._index))
            self._graph, self._recorded_for = graph, numbers
        self._index.copy_(index)
        self._graph.replay()


def recordable(network: nn.Module, policy: Policy, train: Split) -> bool:
    """Whether each step is the same work on the device: nothing drawn, which the host seeds, and data there."""
    dropout = any(isinstance(m, nn.modules.dropout._DropoutNd) and m.p for m in network.modules())
    drawn = dropout or policy.draws_on_device
    return not drawn and all(x.device == train.labels.device for x in train.arrays.values())
