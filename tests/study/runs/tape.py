"""A graph for the CPU: it keeps what a CUDA graph keeps, calls and memory, and knows no Python."""

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

# What a value or a size depends on that only the device knows: asking waits for it.
WAITING = {"_local_scalar_dense", "is_nonzero", "item", "equal", "nonzero", "masked_select"}


def waits(func, args):
    name = func.name().removeprefix("aten::").partition(".")[0]
    by_mask = name.startswith("index") and any(x.dtype == torch.bool for x in tensors(args[1:2]))
    return name in WAITING or by_mask


class Unasked(TorchDispatchMode):
    """Refuses what waits for the device."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        assert not waits(func, args), f"{func} waits for the device"
        return func(*args, **kwargs or {})


class Calls(Unasked):
    """Keeps each call of torch with the tensors that it was given and gave."""

    def __init__(self):
        super().__init__()
        self.made, self.before, self.inside = [], {}, set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        for storage in (x.untyped_storage() for x in tensors((args, kwargs))):
            if storage.data_ptr() not in self.inside:
                self.before.setdefault(storage.data_ptr(), (storage, storage.clone()))
        given = super().__torch_dispatch__(func, types, args, kwargs)
        new = {x.untyped_storage().data_ptr() for x in tensors(given)}
        self.inside |= new - self.before.keys()
        self.made.append((func, args, kwargs or {}, given))
        return given


def tensors(tree):
    return [x for x in tree_leaves(tree) if isinstance(x, Tensor)]


class Tape:
    """Records by doing, and then puts all memory back; replays call by call, in the same memory."""

    recorded = 0  # by all tapes

    def capture(self, work):
        Tape.recorded += 1
        with Calls() as calls:
            work()
        self.calls = calls.made
        for storage, before in calls.before.values():
            storage.copy_(before)

    @torch.no_grad()
    def replay(self):
        for func, args, kwargs, given in self.calls:
            anew = func(*args, **kwargs)
            for old, new in zip(tensors(given), tensors(anew), strict=True):
                if old.data_ptr() != new.data_ptr():
                    old.detach().copy_(new)
