"""Networks, trainers, precisions and wrappers of others: right, or refused in a sentence; nothing else.

A row is right if its modes are those of a plain float32 loop, and its speeds and weights are near. That
loop is written here from the parts, which tests/reference compares with plain code.
"""

from functools import partial
from itertools import product

import pytest
import torch
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.nn.parallel import DataParallel, DistributedDataParallel

from equimodal import Flow, LearningSpeed, step_without_held

from .own import (
    EPOCHS,
    MAX_NORM,
    MODALITIES,
    Noted,
    Own,
    bare,
    batches,
    hugging_face,
    lightning,
    loop,
    loss_of,
    sgd,
)


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


def fsdp(model):
    return FullyShardedDataParallel(model, device_id=torch.device("cpu"))


TRAINERS = {
    "loop": loop,
    "accumulating": partial(loop, parts=2),
    "Lightning": lightning,
    "Hugging Face": hugging_face,
}
WRAPPERS = {
    "bare": bare,
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


@pytest.mark.usefixtures("group")
@pytest.mark.filterwarnings("ignore")  # of torch.compile, and of other trainers
@pytest.mark.parametrize(("architecture", "trainer", "precision", "wrapper"), ROWS)
def test_a_row_is_right_or_refused(
    architecture, trainer, precision, wrapper, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
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
