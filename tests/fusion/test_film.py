import torch

from equimodal.fusion.base import Flow
from equimodal.fusion.film import FiLM


def film():
    torch.manual_seed(0)
    return FiLM({"image": 4, "sound": 3})


def features():
    torch.manual_seed(1)
    return {"image": torch.rand(5, 4, 6, 6), "sound": torch.rand(5, 3, 8)}


def test_each_channel_is_scaled_and_shifted_by_what_all_modalities_see():
    module, x = film(), features()
    squeezes = torch.cat([v.flatten(2).mean(-1) for v in x.values()], 1)
    w = module.excite["sound"](module.squeeze(squeezes).relu())
    expected = (1 + w[:, :3, None]) * x["sound"] + w[:, 3:, None]
    torch.testing.assert_close(module(x)["sound"], expected)


def test_a_rebalanced_branch_gets_the_mean_modulation_of_regular_steps():
    module, x = film(), features()
    module(x)
    by = module.mean_gate_image
    expected = (1 + by[:4, None, None]) * x["image"] + by[4:, None, None]
    torch.testing.assert_close(module(x, Flow(rebalance=torch.tensor(0)))["image"], expected)
