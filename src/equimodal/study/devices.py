"""Where networks are trained and evaluated: never part of a run's identity, but of its record."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from filelock import FileLock, Timeout

from equimodal.study.errors import UserError


def require_device(device: str) -> None:
    """Check that numbers can live on a device, also those of 64 bits that sums are kept in; else UserError, with torch's reason."""
    import torch  # seconds to load, and not needed on the way here

    try:
        float(torch.zeros(1, device=device, dtype=torch.float64))
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"device {device} can not be used here: {reason}; take cpu") from None


@contextmanager
def placed(device: str) -> Iterator[str]:
    """Give `cuda` the number of a GPU while the block runs: that of the GPU with the fewest jobs of ours."""
    gpus = _gpus() if device == "cuda" else {}
    if len(gpus) < 2:
        yield device
        return
    folder = Path(tempfile.gettempdir()) / f"equimodal-gpus-{os.getuid()}"
    with least_taken(gpus, folder) as chosen:
        yield chosen


@contextmanager
def least_taken(devices: Mapping[str, str], folder: Path) -> Iterator[str]:
    """Hold a place on the device where the fewest are held, and give the device.

    Places are locked files in a folder of this machine, so the system frees that of a process that dies, however it dies.
    `devices`: device -> a name that it has for all processes of the machine, whichever they see of it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for place in count():
        for device, name in devices.items():
            lock = FileLock(folder / f"{name}.{place}")
            try:
                lock.acquire(timeout=0)
            except Timeout:
                continue
            try:
                yield device
            finally:
                lock.release()
            return


def _gpus() -> dict[str, str]:
    import torch

    numbers = range(torch.cuda.device_count())
    return {f"cuda:{n}": str(torch.cuda.get_device_properties(n).uuid) for n in numbers}
