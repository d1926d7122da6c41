"""Networks of one's own, and the loops and trainers of others that train them with a `Balancer`."""

import importlib
from contextlib import nullcontext

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from equimodal import MMTM, Balance, Balancer, FiLM, Flow, Guided, LateFusion

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


def library(name):
    """Import it, or skip. They load torchvision, which that module mends beside torch's CPU build."""
    importlib.import_module("equimodal.models.resnet18")
    return pytest.importorskip(name)


def bare(model):
    return model


def lightning(model, policy, precision="float32", wrap=bare, *, epochs=EPOCHS, resumed=None):
    """Train, and save a checkpoint, which is named after the epochs, here."""
    pl = library("lightning.pytorch")
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
        max_epochs=epochs,
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
    loader = torch.utils.data.DataLoader(list(batches(SIZE // 2)), batch_size=None)
    trainer.fit(Lit(), loader, ckpt_path=resumed)
    trainer.save_checkpoint(f"{epochs}.ckpt")
    assert trainer.logged_metrics.keys() == balancer.scalars().keys()


def hugging_face(
    model, policy, precision="float32", wrap=bare, *, epochs=EPOCHS, resumed=None, max_grad_norm=0.0
):
    """Train, and save a checkpoint after each epoch, here."""
    hf = library("transformers")
    from equimodal.callbacks.transformers import BalanceCallback

    called = wrap(model.half() if precision == "half" else model)
    balancer, optimizer = Balancer(called, policy), sgd(called)
    inputs, labels = examples()
    dtype = torch.float16 if precision == "half" else torch.float32
    columns = {m: x.to(dtype) for m, x in inputs.items()} | {"labels": labels}
    rows = [{k: x[i] for k, x in columns.items()} for i in range(len(labels))]

    class Trainer(hf.Trainer):
        def compute_loss(self, model, inputs, **_):
            labels = inputs.pop("labels")
            return loss_of(model(inputs, balancer.flow), labels)

        def get_train_dataloader(self):
            return torch.utils.data.DataLoader(rows, batch_size=SIZE // 2)

    trainer = Trainer(
        called,
        hf.TrainingArguments(
            output_dir=".",
            use_cpu=True,
            num_train_epochs=epochs,
            gradient_accumulation_steps=2,
            max_grad_norm=max_grad_norm,
            logging_steps=1,
            save_strategy="epoch",
            report_to="none",
            disable_tqdm=True,
            remove_unused_columns=False,
            bf16=precision == "bfloat16",
        ),
        train_dataset=rows,
        callbacks=[BalanceCallback(balancer, max_norm=MAX_NORM)],
        optimizers=(optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0)),
    )
    trainer.train(resume_from_checkpoint=resumed)
    assert balancer.scalars().items() <= trainer.state.log_history[-2].items()
