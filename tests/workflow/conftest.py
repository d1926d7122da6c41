import os

import pytest
from filelock import FileLock

from tests.workflow.checkout import Checkout, make_checkout


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """A checkout in which everything was made, to copy from; of tests side by side, one makes it."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    whole = folder / "made"
    with FileLock(folder / "made.lock"):
        if not whole.exists():
            checkout = make_checkout(tmp_path_factory.mktemp("aside") / "checkout")
            checkout.make()
            checkout.folder.rename(whole)
    return Checkout(whole)
