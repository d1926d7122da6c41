"""One worker at a time: a training, a download or a preparation that two share would be spoiled."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from equimodal.study.errors import UserError
from equimodal.study.files import make_folder


@contextmanager
def sole(work: str, path: Path) -> Iterator[None]:
    """Hold a lock while some work is done. The lock of a process that has died is free again.

    Args:
        work: What is done, as the start of a sentence: `the training of ...`.
        path: File of the lock; who holds it stands beside it.

    Raises:
        UserError: If another process holds it, with its host, its number and since when.
    """
    make_folder(path.parent)
    holder = path.with_suffix(".holder")
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        who = holder.read_text(encoding="utf-8") if holder.is_file() else "another process"
        raise UserError(
            f"{work} is under way already, by {who}; wait for it, or end that process"
        ) from None
    try:
        since = datetime.now().astimezone().isoformat(" ", "seconds")
        holder.write_text(
            f"process {os.getpid()} on {socket.gethostname()} since {since}", encoding="utf-8"
        )
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()
