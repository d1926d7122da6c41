"""Networks, trainers, precisions and wrappers of others: right, or refused in a sentence; nothing else.

A row is right if its modes are those of a plain float32 loop, and its speeds and weights are near. That
loop is written here from the parts, which tests/reference compares with plain code.
"""

import importlib
from contextlib import nullcontext
from functools import partial
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.nn.parallel import DataParallel, DistributedDataParallel

from equimodal import (
    MMTM,
    Balance,
    Balancer,
    FiLM,
    Flow,
    Guided,
    LateFusion,
    LearningSpeed,
    step_without_held,
)

MODALITIES, CLASSES, WIDTH, LENGTH = ("a", "b"), 3, 4, 6
EPOCHS, BATCHES, SIZE, MAX_NORM = 3, 3, 8, 0.3


class Own(nn.Module):
    """Two branches of convolutions or tokens, and one fusion, or none."""

    def __init__(self, architecture):
        super().__init__()
        torch.manual_seed(0)
        per = lambda make: nn.ModuleDict({m: make() for m in MODALITIES})
        channels = dict.fromkeys(MODALITIES, WIDTH)
        self.architecture = architecture
        self.stem = per(lambda: nn.Conv1d(1, WIDTH, 3, padding=1))
        if architecture == "tokens":
            self.layer = per(
                lambda: nn.TransformerEncoderLayer(WIDTH, 1, 8, dropout=0.0, batch_first=True)
            )
        if architecture == "late":
            self.fuse = LateFusion(channels, CLASSES)
            return
        self.head = per(lambda: nn.Linear(WIDTH, CLASSES))
        if architecture != "without fusion":
            self.fuse = FiLM(channels) if architecture == "FiLM" else MMTM(channels)

    def forward(self, inputs, flow=Flow()):
        x = {m: self.stem[m](inputs[m]).relu() for m in MODALITIES}
        if self.architecture == "late":
            return self.fuse(x, flow)
        if self.architecture == "tokens":
            x = {m: self.layer[m](z.transpose(1, 2)).transpose(1, 2) for m, z in x.items()}
            x = self.fuse(x, flow, {"a": inputs["a"][:, 0] > -9})
        elif self.architecture != "without fusion":
            x = self.fuse(x, flow)
        return {m: self.head[m](x[m].mean(-1)) for m in MODALITIES}


def examples():
    """One modality that tells the label, and one that hardly does."""
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(BATCHES * SIZE) % CLASSES
    inputs = {m: torch.randn(len(labels), 1, LENGTH, generator=generator) for m in MODALITIES}
    inputs["a"] += 2 * labels[:, None, None]
    return inputs, labels


def batches(size=SIZE, dtype=torch.float32):
    inputs, labels = examples()
    for index in torch.arange(len(labels)).split(size):
        yield {m: x[index].to(dtype) for m, x in inputs.items()}, labels[index]


def loss_of(logits, labels):
    return sum(F.cross_entropy(z.float(), labels) for z in logits.values())


class Noted(Guided):
    """Guided training that writes down what it saw and chose."""

    def __init__(self):
        super().__init__(Balance(tolerance=0.01, window=1, warmup_epochs=1))
        self.seen = []

    def advance(self, speeds, *, epoch):
        super().advance(speeds, epoch=epoch)
        self.seen.append((int(self.mode), speeds.clone()))


def sgd(model):
    return torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)


def expected(architecture):
    model, policy = Own(architecture), Noted()
    optimizer = sgd(model)
    of_branch = {
        m: [p for n, p in model.named_parameters() if n.split(".")[1] == m] for m in MODALITIES
    }
    speeds = LearningSpeed(of_branch, model)
    for epoch in range(1, EPOCHS + 1):
        for inputs, labels in batches():
            optimizer.zero_grad()
            loss_of(model(inputs, Flow(rebalance=policy.mode)), labels).backward()
            speeds.update(policy.mode)
            nn.utils.clip_grad_norm_(model.parameters(), MAX_NORM)
            step_without_held(optimizer, model, policy.mode)
            policy.advance(speeds.values, epoch=epoch)
    return model, policy


def loop(model, policy, precision, wrap, parts=1):
    called = wrap(model)
    balancer, optimizer = Balancer(called, policy), sgd(called)
    scaler = torch.amp.GradScaler("cpu", init_scale=256.0) if precision == "float16" else None
    dtype = torch.float16 if precision == "half" else torch.float32
    for epoch in range(1, EPOCHS + 1):
        for i, (inputs, labels) in enumerate(batches(SIZE // parts, dtype), start=1):
            with autocast(precision):
                loss = loss_of(called(inputs, balancer.flow), labels) / parts
            (loss if scaler is None else scaler.scale(loss)).backward()
            if i % parts == 0:
                balancer.step(optimizer, epoch=epoch, max_norm=MAX_NORM, scaler=scaler)
                optimizer.zero_grad()


def autocast(precision):
    kind = {"bfloat16": torch.bfloat16, "float16": torch.float16}.get(precision)
    return nullcontext() if kind is None else torch.autocast("cpu", kind)


def lightning(model, policy, precision, wrap):
    pl = importlib.import_module("lightning.pytorch")
    from lightning.pytorch.plugins import MixedPrecision

    from equimodal.callbacks.lightning import BalanceCallback

    called = model if wrap is DistributedDataParallel else wrap(model)
    balancer = Balancer(called, policy)

    class Lit(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = called

        def training_step(self, batch, _):
            inputs, labels = batch
            return loss_of(self.net(inputs, balancer.flow), labels)

        def configure_optimizers(self):
            return sgd(self.net)

    settings = {"precision": {"bfloat16": "bf16-mixed", "half": "16-true"}.get(precision, "32")}
    if precision == "float16":
        scaler = torch.amp.GradScaler("cpu", init_scale=256.0)
        settings = {"plugins": [MixedPrecision("16-mixed", "cpu", scaler)]}
    if wrap is DistributedDataParallel:
        settings |= {"strategy": "ddp", "use_distributed_sampler": False}
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=EPOCHS,
        gradient_clip_val=MAX_NORM,
        accumulate_grad_batches=2,
        log_every_n_steps=1,
        callbacks=[BalanceCallback(balancer)],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **settings,
    )
    trainer.fit(Lit(), torch.utils.data.DataLoader(list(batches(SIZE // 2)), batch_size=None))
    assert trainer.logged_metrics.keys() == balancer.scalars().keys()


def hugging_face(model, policy, precision, wrap, folder=None):
    hf = importlib.import_module("transformers")
    from equimodal.callbacks.transformers import BalanceCallback

    called = wrap(model.half() if precision == "half" else model)
    balancer = Balancer(called, policy)
    inputs, labels = examples()
    dtype = torch.float16 if precision == "half" else torch.float32

    class Trainer(hf.Trainer):
        def compute_loss(self, model, inputs, **_):
            labels = inputs.pop("labels")
            return loss_of(model(inputs, balancer.flow), labels)

        def get_train_dataloader(self):
            rows = [
                {m: x[i].to(dtype) for m, x in inputs.items()} | {"labels": labels[i]}
                for i in range(len(labels))
            ]
            return torch.utils.data.DataLoader(rows, batch_size=SIZE // 2)

    trainer = Trainer(
        called,
        hf.TrainingArguments(
            output_dir=folder or "unused",
            use_cpu=True,
            num_train_epochs=EPOCHS,
            gradient_accumulation_steps=2,
            max_grad_norm=0,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            remove_unused_columns=False,
            bf16=precision == "bfloat16",
        ),
        train_dataset=[0],
        callbacks=[BalanceCallback(balancer, max_norm=MAX_NORM)],
        optimizers=(sgd(called), torch.optim.lr_scheduler.LambdaLR(sgd(called), lambda _: 1.0)),
    )
    trainer.train()
    assert balancer.scalars().items() <= trainer.state.log_history[-2].items()


def fsdp(model):
    return FullyShardedDataParallel(model, device_id=torch.device("cpu"))


TRAINERS = {
    "loop": loop,
    "accumulating": partial(loop, parts=2),
    "Lightning": lightning,
    "Hugging Face": hugging_face,
}
WRAPPERS = {
    "bare": lambda model: model,
    "compiled": partial(torch.compile, backend="eager"),
    "DDP": DistributedDataParallel,
    "FSDP": fsdp,
    "fully_shard": fully_shard,
    "DataParallel": DataParallel,
}
FUSED = ("MMTM", "FiLM", "late", "tokens")
ALL, OWN_LOOPS = (*FUSED, "without fusion"), ("loop", "accumulating")
MIXED = ("float32", "bfloat16", "float16")
ROWS = dict.fromkeys(
    (
        *product(ALL, ["loop"], [*MIXED, "half"], ["bare", "DDP"]),
        *product(FUSED, ["accumulating"], MIXED, ["bare"]),
        *product(["MMTM"], OWN_LOOPS, ["float32"], WRAPPERS),
        *product(["MMTM", "late"], ["loop"], ["float32"], ["compiled"]),
        *product(ALL, ["Lightning", "Hugging Face"], ["float32"], ["bare"]),
        *product(["MMTM"], ["Lightning", "Hugging Face"], ["bfloat16", "half"], ["bare"]),
        *product(["MMTM"], ["Lightning", "Hugging Face"], ["float32"], ["compiled", "FSDP"]),
        ("MMTM", "Lightning", "float16", "bare"),  # accelerate has no float16 on a CPU
        ("MMTM", "Lightning", "float32", "DDP"),
    )
)
REFUSED = {
    "without fusion": "has no fusion module",
    "half": "too coarse to count samples: leave the module in float32 and use torch.autocast",
    "FSDP": "parameters are sharded .* train in DistributedDataParallel",
    "fully_shard": "parameters are sharded .* train in DistributedDataParallel",
    "DataParallel": "wrap the network in DistributedDataParallel",
}
BOUNDS = {"float32": 1e-5, "bfloat16": 0.05, "float16": 0.005}


@pytest.fixture(scope="module", autouse=True)
def group(tmp_path_factory):
    """A group of one process, in which distributed wrappers work as in any."""
    init = f"file://{tmp_path_factory.mktemp('group')}/group"
    torch.distributed.init_process_group("gloo", init_method=init, rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


def test_there_are_forty_rows_and_more():
    assert len(ROWS) >= 40
    assert len([row for row in ROWS if row[1] in OWN_LOOPS]) >= 40


@pytest.mark.filterwarnings("ignore")  # of torch.compile, and of other trainers
@pytest.mark.parametrize(("architecture", "trainer", "precision", "wrapper"), ROWS)
def test_a_row_is_right_or_refused(
    architecture, trainer, precision, wrapper, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    if (
        trainer not in OWN_LOOPS
    ):  # they load torchvision, which that module mends beside torch's CPU build
        importlib.import_module("equimodal.models.resnet18")
        pytest.importorskip({"Lightning": "lightning"}.get(trainer, "transformers"))
    row = (architecture, precision, wrapper)
    said = [REFUSED[x] for x in row if x in REFUSED]
    model, policy = Own(architecture), Noted()
    run = partial(TRAINERS[trainer], model, policy, precision, WRAPPERS[wrapper])
    if precision == "half" and trainer in OWN_LOOPS:
        model.half()
    if said:
        with pytest.raises((TypeError, ValueError), match="|".join(said)):
            run()
        return
    run()
    plain, of_plain = expected(architecture)
    modes, speeds = zip(*policy.seen, strict=True)
    right_modes, right_speeds = zip(*of_plain.seen, strict=True)
    assert len(set(right_modes)) > 1
    assert modes == right_modes
    bound = BOUNDS[precision]
    torch.testing.assert_close(speeds, right_speeds, atol=bound, rtol=0)
    for p, q in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(p, q, atol=bound, rtol=bound)
    for name, buffer in model.named_buffers():
        torch.testing.assert_close(buffer, plain.get_buffer(name), atol=bound, rtol=bound)
