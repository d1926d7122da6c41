"""One worker at a time: a training, a download or a preparation that two share would be spoiled.

A lock is a file that its holder touches. So it holds between the nodes of a cluster as well, on any file system
that they share.
"""

import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from filelock import LeaseCompromise, SoftFileLease, Timeout

from equimodal.study.errors import UserError
from equimodal.study.files import SPACE, make_folder, writing

# Seconds without a sign of life from another host, after which its holder counts as dead.
LEASE = 60.0


@contextmanager
def sole(work: str, path: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold a lock while some work is done. That of a dead process is free at once on its host, after a minute on others.

    `work` begins a sentence: `the training of ...`. A file beside the lock says who holds it. Without `wait`, a lock that
    is held is a UserError, with host, process number and since when.
    """
    make_folder(path.parent)
    holder = path.with_suffix(".holder")
    lock = SoftFileLease(path, lease_duration=LEASE, poll_interval=0.5, on_compromise=_stop)
    with writing(path, SPACE), suppress(Timeout):
        lock.acquire(timeout=0)
    if not lock.is_locked:
        who = holder.read_text(encoding="utf-8") if holder.is_file() else "another process"
        said = f"{work} is under way already, by {who}"
        if not wait:
            raise UserError(
                f"{said}; wait for it, or end that process. If its host is gone, remove {path}"
            )
        print(f"equimodal: {said}; waiting for it", file=sys.stderr, flush=True)
        lock.acquire()
    try:
        since = datetime.now().astimezone().isoformat(" ", "seconds")
        about = f"process {os.getpid()} on {socket.gethostname()} since {since}"
        with writing(holder, SPACE):
            holder.write_text(about, encoding="utf-8")
        yield
    finally:
        if not lock.compromise:
            holder.unlink(missing_ok=True)
        lock.release()


def _stop(_: LeaseCompromise) -> None:
    """Another process has taken over, after this one gave no sign of life for long: it stood still."""
    os.kill(os.getpid(), signal.SIGTERM)
