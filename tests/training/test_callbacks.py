"""The trainers of others save and resume with the balancer's state; test_matrix.py has what they train."""

import pytest
import torch

from .own import EPOCHS, Noted, Own, hugging_face, lightning

pytestmark = pytest.mark.filterwarnings("ignore")  # of the trainers


@pytest.mark.parametrize(
    ("train", "checkpoint"), [(lightning, "2.ckpt"), (hugging_face, "checkpoint-6")]
)
def test_a_resumed_training_goes_on_as_if_it_had_not_been_stopped(
    train, checkpoint, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)

    def taken(**settings):
        model, policy = Own("MMTM"), Noted()
        train(model, policy, **settings)
        return policy.seen, list(model.parameters())

    whole, weights = taken()
    taken(epochs=2)
    rest, same = taken(resumed=checkpoint)
    assert len(rest) == len(whole) // EPOCHS
    for (mode, speeds), (again, equal) in zip(whole[-len(rest) :], rest, strict=True):
        assert mode == again
        assert torch.equal(speeds, equal)
    assert all(map(torch.equal, weights, same))


def test_what_would_come_out_wrong_in_the_trainer_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="pass max_grad_norm=0 to TrainingArguments, and max_norm"):
        hugging_face(Own("MMTM"), Noted(), max_grad_norm=1.0)
    hugging_face(Own("MMTM"), Noted(), epochs=1)
    (tmp_path / "checkpoint-3/balancer.pt").unlink()
    with pytest.raises(
        ValueError, match="resume from a checkpoint in output_dir that was saved with"
    ):
        hugging_face(Own("MMTM"), Noted(), resumed="checkpoint-3")
