"""What the tests of the data share: small settings of each kind, and what lies in a folder."""

import hashlib
import json
from functools import cache

from pydantic import TypeAdapter

from equimodal.study.data.off import parse_off
from equimodal.study.datasets import DatasetSettings
from equimodal.study.params import load_params
from equimodal.study.receipts import SEEN
from tests.conftest import ROOT


@cache
def _usual(kind):
    usual = load_params(ROOT / "params.yaml", "paper").datasets[kind].model_dump(mode="json")
    return usual | {"inputs": {}}


def dataset(kind, **changes):
    """A data set of the paper's scale, with some settings changed."""
    asked = _usual(kind) | changes
    return TypeAdapter(DatasetSettings).validate_json(json.dumps(asked))


def changed(settings, **changes):
    """The same data set with some settings changed."""
    return TypeAdapter(DatasetSettings).validate_json(
        json.dumps(settings.model_dump(mode="json") | changes)
    )


def contents(folder):
    """SHA-256 of all files but the notes on how they looked on this machine."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != SEEN
    }


def read_off(path):
    """The mesh of an OFF file."""
    return parse_off(path.read_bytes(), str(path))
