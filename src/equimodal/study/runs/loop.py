"""Train one network from the spec of its run."""

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau

from equimodal.fusion.base import REGULAR, Flow
from equimodal.metrics.learning_speed import LearningSpeed
from equimodal.models.network import Network
from equimodal.study.data.split import Split, Views, draw_views
from equimodal.study.errors import UserError
from equimodal.study.methods import METHODS
from equimodal.study.runs.build import (
    arithmetic,
    build_network,
    build_policy,
    failed_before,
    start_from,
)
from equimodal.study.runs.graphed import Graph, Recorder, recordable
from equimodal.study.runs.score import BATCH, Score, mean_cosines, score, slices, with_fused
from equimodal.study.spec import OFFICIAL_SEED, RunSpec
from equimodal.training.batch import Batch
from equimodal.training.policies import REGULAR_MODE
from equimodal.training.step import StepRules, train_step

CHECK_EVERY = 50  # steps between looks at the loss where looking waits for the device

Row = dict[str, Any]  # column -> number or text


@dataclass
class Progress:
    """All that a training remembers beside its network and optimizer."""

    epoch: int = 1  # counted from 1
    batch: int = 0  # batches of the epoch that are done
    steps: int = 0
    perfect_epochs: int = 0
    best_accuracy: float = -1.0
    best_epoch: int = 0
    failure: str | None = None
    finished: bool = False
    rows: list[Row] = field(default_factory=list)


class Training:
    """One network on its way: `run` it to the end, or save it with `state` at any step.

    Everything that the future depends on is in the state, and the order of an epoch's batches depends on seed and epoch
    only. So a training that is restored goes on to the same bytes as one that was never stopped (on the same machine, on
    the CPU).
    """

    def __init__(
        self,
        spec: RunSpec,
        splits: dict[str, Split],
        device: torch.device | str = "cpu",
        *,
        graph: Callable[[], Graph] | None = None,
    ):
        """Build network, optimizer, schedule, policy and meter from the spec; what reads a failed run has failed itself.

        The splits lie on the device: `train`, `test`, and `validation` if the spec selects on it. On a GPU each training has
        a stream of its own. `graph` makes what a step is recorded in, where that can be.
        """
        self.spec = spec
        self.splits = splits
        self.device = torch.device(device)
        self.network: Network = build_network(spec, self.device)
        failure = failed_before(spec)
        if spec.pretrained is not None and failure is None:
            start_from(self.network, spec.network.kind, Path(spec.pretrained))
        usable = spec if failure is None else spec.model_copy(update={"policy": "vanilla"})
        self.policy = build_policy(usable, self.network, self.device)
        self.rules = StepRules(
            l1=spec.l1,
            l1_in_speed=spec.switches.l1_in_speed,
            speed_sums=spec.switches.speed_sums,
            held_parameters=spec.switches.held_parameters,
            precision="bfloat16" if spec.switches.arithmetic == "bfloat16" else "of_weights",
        )
        self.optimizer = torch.optim.SGD(
            [*self.network.parameters(), *self.policy.parameters()],
            lr=spec.learning_rate,
            momentum=spec.training.momentum,
            weight_decay=spec.training.weight_decay,
        )
        self.schedule = None
        if spec.switches.schedule:
            lower = spec.training.schedule.model_dump()
            min_lr = lower.pop("min_rate")
            self.schedule = ReduceLROnPlateau(self.optimizer, min_lr=min_lr, **lower)
        self.speeds = None
        if len(spec.modalities) > 1:
            self.speeds = LearningSpeed.of(
                self.network,
                log_base=spec.switches.log_base,
                norm=spec.switches.speed_norm,
            )
        self.progress = Progress(failure=failure, finished=failure is not None)
        self.best_weights = copy.deepcopy(self.network.state_dict())
        self._modes: list[Tensor] = []  # of every step
        self._speeds: list[Tensor] = []  # after every step
        # What a step changes, each in place.
        self._views: Views | None = None  # and what it reads, anew in every epoch
        branches = len(self.network.modalities)
        self._hits = torch.zeros(branches + 1, dtype=torch.int64, device=self.device)
        self._loss = torch.zeros((), dtype=torch.float64, device=self.device)
        self._taken = torch.tensor(0, device=self.device)  # steps
        self._failed_at = torch.tensor(-1, device=self.device)  # first step of a loss not finite
        self._mode = torch.tensor(REGULAR_MODE, dtype=torch.int8, device=self.device)
        self._speed = torch.zeros(branches, device=self.device)
        self._stream = torch.cuda.Stream(self.device) if self.device.type == "cuda" else None
        self._recorder: Recorder | None = None
        train, size = splits["train"], spec.training.batch_size
        if (
            graph is not None
            and len(train) >= size
            and recordable(self.network, self.policy, train)
        ):
            usual = torch.zeros(size, dtype=torch.int64, device=self.device)
            self._recorder = Recorder(graph, usual)

    def run(self, after_step: Callable[["Training"], None] = lambda training: None) -> None:
        """Train until the stop rule holds, the cap is reached or the loss is not finite.

        The stop rule: `perfect_epochs` epochs, not necessarily in a row, in which every training example was classified
        correctly when its turn came. `after_step` is called after every step; it may save the state.
        """
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            for _ in self.walk():
                after_step(self)

    def walk(self) -> Iterator[None]:
        """Train as `run` does and yield after every step. Torch's random state is left as the last step's seed has it."""
        steps = self._steps()
        if self._stream is not None:
            self._stream.wait_stream(torch.cuda.current_stream(self.device))
        try:
            while self._goes_on(steps):
                yield
        finally:  # memory that another may get next is not written to any more
            self._wait()

    def _goes_on(self, steps: Iterator[bool]) -> bool:
        with self.at_work():
            return next(steps, False)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Have the GPU do what is inside on the training's own stream, with its arithmetic."""
        with arithmetic(self.spec), torch.cuda.stream(self._stream):  # None is no stream of its own
            yield

    def _wait(self) -> None:
        if self._stream is not None:
            self._stream.synchronize()

    def _steps(self) -> Iterator[bool]:
        while not self.progress.finished:
            for index in self._batches_left() if self.policy.trains else ():
                self._step(index)
                if self.progress.failure:
                    return
                yield True
            self._check_finite()
            if self.progress.failure:
                return
            self._end_epoch()

    def _batches_left(self) -> Iterator[Tensor]:
        train = self.splits["train"]
        order = np.random.default_rng(self._seed("order")).permutation(len(train))
        views = draw_views(train, self.spec.augmentation, self._seed("flips"))
        if self._views is None or views is None:
            self._views = views
        else:
            self._views.take(views)
        self._taken.fill_(self.progress.steps)
        batches = torch.from_numpy(order).to(self.device).split(self.spec.training.batch_size)
        yield from batches[self.progress.batch :]

    def _seed(self, use: str) -> list[int]:
        """Seed of what the epoch draws for a use; nothing else draws from it."""
        shared = self.spec.switches.data_order == "shared"
        uses = ("order", "flips", "validation flips", "dropout")
        return [OFFICIAL_SEED if shared else self.spec.seed, self.progress.epoch, uses.index(use)]

    def _step(self, index: Tensor) -> None:
        if self._recorder is not None:
            self._recorder.do(self._on_device, index, self._numbers())
        else:
            dropout = np.random.SeedSequence([*self._seed("dropout"), self.progress.batch])
            torch.manual_seed(int(dropout.generate_state(1)[0]))
            self._on_device(index)
        if self.policy.draws_on_host:
            self.policy.advance(None, epoch=self.progress.epoch)
        self.progress.batch += 1
        self.progress.steps += 1
        self._modes.append(self._mode.clone())
        if self.speeds is not None:
            self._speeds.append(self._speed.clone())
        # Asking waits for the device; on the CPU there is nothing to wait for.
        every = 1 if self.device.type == "cpu" else CHECK_EVERY
        if self.progress.steps % every == 0:
            self._check_finite()

    def _numbers(self) -> tuple[object, ...]:
        """All that a step takes from Python: the learning rate, and what the policy does."""
        rates = (group["lr"] for group in self.optimizer.param_groups)
        return (self.policy.numbers(self.progress.epoch), *rates)

    def _on_device(self, index: Tensor) -> None:
        """What the device does in a step: it reads and changes tensors where they lie, and is not asked."""
        batch = self.splits["train"].batch(index, self._views)
        self.network.train()
        try:
            record = train_step(
                self.network,
                batch,
                self.optimizer,
                self.policy,
                self.speeds,
                epoch=self.progress.epoch,
                rules=self.rules,
                advance=not self.policy.draws_on_host,
            )
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            name = self.spec.dataset
            raise UserError(
                f"{self.spec.name}: the last batch of an epoch has one example, and batch norm no deviation of one"
                f" value: set another training.{name}.batch_size, or a network of kind four_layers"
            ) from None
        self._hits += torch.stack(
            [(z.argmax(-1) == batch.labels).sum() for z in with_fused(record.logits).values()]
        )
        self._loss += record.loss.double() * len(batch)
        self._taken += 1
        first_failure = (self._failed_at < 0) & ~record.loss.isfinite()
        self._failed_at.copy_(torch.where(first_failure, self._taken, self._failed_at))
        if record.mode is not None:
            self._mode.copy_(record.mode)
        if record.speeds is not None:
            self._speed.copy_(record.speeds)

    def _check_finite(self) -> None:
        step = int(self._failed_at)
        if step >= 0:
            self._fail(f"the loss became infinite or NaN at step {step}")

    def _fail(self, what: str) -> None:
        epoch, rate = self.progress.epoch, self.spec.learning_rate
        self.progress.failure = f"{what} (epoch {epoch}) at learning rate {rate:g}"
        self.progress.finished = True

    def _end_epoch(self) -> None:
        progress, train = self.progress, self.splits["train"]
        progress.perfect_epochs += int(self._hits[-1]) == len(train)  # the last is `fused`
        row = self._row(len(train))
        # What the last step did to the weights, no loss of a step has seen.
        if not all(math.isfinite(row[f"{split}_loss"]) for split in ("validation", "test")):
            self._fail("the loss in evaluation became infinite or NaN")
            return
        # Nor does a loss see a running variance without bounds, as what is divided by it is 0.
        finite = [x.isfinite().all() for x in self.network.state_dict().values()]
        if not torch.stack(finite).all():
            self._fail("the weights or running statistics became infinite or NaN")
            return
        progress.rows.append(row)
        accuracy = row["validation_accuracy"]
        if accuracy > progress.best_accuracy:
            progress.best_accuracy, progress.best_epoch = accuracy, progress.epoch
            self.best_weights = copy.deepcopy(self.network.state_dict())
        if self.schedule is not None:
            self.schedule.step(row["train_loss"])
        progress.finished = (
            progress.perfect_epochs >= self.spec.switches.perfect_epochs
            or progress.epoch >= self.spec.training.max_epochs
            or not self.policy.trains
        )
        if not progress.finished:
            self.policy.end_epoch(self.network, self._for_policy())
        progress.epoch += 1
        progress.batch = 0
        self._hits.zero_()
        self._loss.zero_()

    def _for_policy(self) -> dict[str, Iterator[Batch]]:
        """Batches of the splits that a policy may see: never those of the test set."""
        return {n: map(s.batch, slices(s)) for n, s in self.splits.items() if n != "test"}

    def _row(self, examples: int) -> Row:
        """The epoch as a row of history.csv; where nothing trains, no example had its turn."""
        names = [*self.network.modalities, "fused"]
        seen = examples if self.policy.trains else math.nan
        row: Row = {
            "epoch": self.progress.epoch,
            "steps": self.progress.steps,
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "train_loss": float(self._loss) / seen,
        }
        row |= _accuracies("train", dict(zip(names, (self._hits / seen).tolist(), strict=True)))
        scores = {s: self._score(s) for s in self.splits if s != "train"}
        scores["validation"] = scores[self.spec.validation]
        for split in ("validation", "test"):
            row[f"{split}_loss"] = scores[split].loss
            row |= _accuracies(split, scores[split].accuracy)
        if self.speeds is not None:
            values = self.speeds.values.tolist()
            row |= {f"speed_{m}": v for m, v in zip(self.network.modalities, values, strict=True)}
            last = self._modes[len(self._modes) - self.progress.batch :]
            modes = torch.stack(last).tolist() if last else []
            row["regular_steps"] = modes.count(REGULAR_MODE)
            for b, m in enumerate(self.network.modalities):
                row[f"rebalance_{m}_steps"] = modes.count(b)
            row["next_mode"] = self._mode_name()
            if "cosines" in self.spec.switches.measured:
                size = self.spec.training.batch_size
                cosines = mean_cosines(self.network, self.splits["train"], size)
                row |= {f"cosine_{m}": x for m, x in cosines.items()}
        return row

    def _score(self, split: str) -> Score:
        """Evaluate as the run's fidelity asks for: its mode, and its view of the validation set."""
        left_behind = self.spec.switches.evaluation_mode == "left_behind"
        flow = Flow(rebalance=self.policy.mode) if left_behind else REGULAR
        views = None
        if self.spec.switches.validation_flips and split == "validation":
            seed = self._seed("validation flips")
            views = draw_views(self.splits[split], self.spec.augmentation, seed)
        # Where evaluation passes move the running means, their number matters: batches as in training.
        every_pass = self.spec.switches.mean_gate_updates == "every_pass"
        batch_size = self.spec.training.batch_size if every_pass else BATCH
        return score(
            self.network,
            self.splits[split],
            flow,
            views,
            batch_size=batch_size,
            of_prediction=self.spec.policy in METHODS,
        )

    def _mode_name(self) -> str:
        mode = REGULAR_MODE if self.policy.mode is None else int(self.policy.mode)
        return "regular" if mode == REGULAR_MODE else f"rebalance_{self.network.modalities[mode]}"

    def steps(self) -> dict[str, np.ndarray]:
        """Return the mode (int8) of every step and the speeds (float32, a column a branch) after it."""
        self._wait()
        branches = len(self.network.modalities)
        return {
            "modes": _stacked(self._modes, (0,), torch.int8),
            "speeds": _stacked(self._speeds, (0, branches), torch.float32),
        }

    def state(self) -> dict[str, Any]:
        """Everything that the rest of the training depends on."""
        self._wait()
        return {
            "progress": copy.deepcopy(vars(self.progress)),
            "network": self.network.state_dict(),
            "best_weights": self.best_weights,
            "optimizer": self.optimizer.state_dict(),
            "schedule": None if self.schedule is None else self.schedule.state_dict(),
            "speeds": None if self.speeds is None else self.speeds.state_dict(),
            "policy": self.policy.state_dict(),
            "hits": self._hits,
            "loss": self._loss,
            "failed_at": self._failed_at,
            "steps": {k: torch.from_numpy(v) for k, v in self.steps().items()},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state that `state` gave for the same spec and data."""
        self.progress = Progress(**state["progress"])
        self.network.load_state_dict(state["network"])
        self.best_weights = state["best_weights"]
        self.optimizer.load_state_dict(state["optimizer"])
        if self.schedule is not None:
            self.schedule.load_state_dict(state["schedule"])
        if self.speeds is not None:
            self.speeds.load_state_dict(state["speeds"])
        self.policy.load_state_dict(state["policy"])
        self._hits.copy_(state["hits"])
        self._loss.copy_(state["loss"])
        self._failed_at.copy_(state["failed_at"])
        self._modes = list(state["steps"]["modes"].to(self.device))
        self._speeds = list(state["steps"]["speeds"].to(self.device))


def _accuracies(split: str, accuracy: dict[str, float]) -> Row:
    """Columns such as `test_accuracy` and `test_accuracy_gray`."""
    return {
        f"{split}_accuracy" if m == "fused" else f"{split}_accuracy_{m}": float(x)
        for m, x in accuracy.items()
    }


def _stacked(tensors: list[Tensor], empty: tuple[int, ...], dtype: torch.dtype) -> np.ndarray:
    return (torch.stack(tensors) if tensors else torch.zeros(empty, dtype=dtype)).cpu().numpy()
