"""The study where jobs share no folder: inputs come from a storage, and outputs go to it."""

import shutil

import pytest

from tests.workflow.checkout import make_checkout

pytestmark = pytest.mark.workflow


@pytest.mark.skipif(shutil.which("rsync") is None, reason="the storage plugin calls rsync")
def test_without_a_shared_folder_networks_logits_and_tables_are_the_same(made_once, tmp_path):
    checkout, storage = make_checkout(tmp_path / "checkout"), tmp_path / "storage"
    checkout.make(
        *("--default-storage-provider", "fs", "--default-storage-prefix", str(storage)),
        *("--shared-fs-usage", "none"),
    )
    stored = {
        path.relative_to(storage): path.read_bytes()
        for pattern in ("models/**/*.pt", "banks/**/*.npz", "tables/*.csv", "tables/*.gz")
        for path in (storage / "results/tiny").glob(pattern)
    }
    assert len(stored) > 24  # two files a run
    assert stored == {path: (made_once.folder / path).read_bytes() for path in stored}
