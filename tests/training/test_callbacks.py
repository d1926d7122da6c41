"""The trainers of others save and resume with the balancer's state; test_matrix.py has what they train."""

import importlib

import pytest
import torch

from equimodal import Balancer

from .test_matrix import EPOCHS, Noted, Own, batches, examples, loss_of, sgd

pytestmark = pytest.mark.filterwarnings("ignore")  # of the trainers


def library(name):
    """Import it, or skip. They load torchvision, which that module mends beside torch's CPU build."""
    importlib.import_module("equimodal.models.resnet18")
    return pytest.importorskip(name)


def lightning(model, balancer, folder, epochs, resumed=None):
    pl = library("lightning.pytorch")
    from equimodal.callbacks.lightning import BalanceCallback

    class Lit(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = model

        def training_step(self, batch, _):
            inputs, labels = batch
            return loss_of(self.net(inputs, balancer.flow), labels)

        def configure_optimizers(self):
            return sgd(self.net)

    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        callbacks=[BalanceCallback(balancer)],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    loader = torch.utils.data.DataLoader(list(batches()), batch_size=None)
    trainer.fit(Lit(), loader, ckpt_path=folder / resumed if resumed else None)
    trainer.save_checkpoint(folder / f"{epochs}.ckpt")


def trainer(model, balancer, folder, epochs, resumed=None, **settings):
    hf = library("transformers")
    from equimodal.callbacks.transformers import BalanceCallback

    class Trainer(hf.Trainer):
        def compute_loss(self, model, inputs, **_):
            labels = inputs.pop("labels")
            return loss_of(model(inputs, balancer.flow), labels)

        def get_train_dataloader(self):
            inputs, labels = examples()
            columns = inputs | {"labels": labels}
            rows = [{k: x[i] for k, x in columns.items()} for i in range(len(labels))]
            return torch.utils.data.DataLoader(rows, batch_size=8)

    arguments = {
        "num_train_epochs": epochs,
        "save_strategy": "epoch",
        "max_grad_norm": 0,
        "use_cpu": True,
        "report_to": "none",
        "disable_tqdm": True,
        "remove_unused_columns": False,
    }
    optimizer = sgd(model)
    constant = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0)
    Trainer(
        model,
        hf.TrainingArguments(output_dir=folder, **arguments | settings),
        train_dataset=[0],
        callbacks=[BalanceCallback(balancer)],
        optimizers=(optimizer, constant),
    ).train(resume_from_checkpoint=resumed and str(folder / resumed))


@pytest.mark.parametrize(
    ("train", "checkpoint"), [(lightning, "2.ckpt"), (trainer, "checkpoint-6")]
)
def test_a_resumed_training_goes_on_as_if_it_had_not_been_stopped(train, checkpoint, tmp_path):
    def taken(folder, epochs, resumed=None):
        model, policy = Own("MMTM"), Noted()
        train(model, Balancer(model, policy), folder, epochs, resumed)
        return policy.seen, list(model.parameters())

    whole, weights = taken(tmp_path / "whole", EPOCHS)
    taken(tmp_path / "cut", 2)
    rest, same = taken(tmp_path / "cut", EPOCHS, checkpoint)
    assert 0 < len(rest) < len(whole)
    for (mode, speeds), (again, equal) in zip(whole[-len(rest) :], rest, strict=True):
        assert mode == again
        assert torch.equal(speeds, equal)
    assert all(map(torch.equal, weights, same))


def test_what_would_come_out_wrong_in_the_trainer_is_refused(tmp_path):
    model = Own("MMTM")
    with pytest.raises(ValueError, match="pass max_grad_norm=0 to TrainingArguments, and max_norm"):
        trainer(model, Balancer(model), tmp_path, 1, max_grad_norm=1.0)
    trainer(model, Balancer(model), tmp_path, 1)
    (tmp_path / "checkpoint-3/balancer.pt").unlink()
    with pytest.raises(
        ValueError, match="resume from a checkpoint in output_dir that was saved with"
    ):
        trainer(model, Balancer(model), tmp_path, 2, "checkpoint-3")
