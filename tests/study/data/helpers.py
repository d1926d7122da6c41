"""What the tests of the data share: small settings of each kind, and what lies in a folder."""

import hashlib
import json
import os
import random
from functools import cache

from pydantic import TypeAdapter

from equimodal.study.data.off import parse_off
from equimodal.study.datasets import DatasetSettings
from equimodal.study.errors import UserError
from equimodal.study.params import load_params
from equimodal.study.receipts import SEEN
from tests.conftest import ROOT

FUZZ = int(os.environ.get("EQUIMODAL_FUZZ", "300"))  # inputs; read here: a fixture may tidy up
# The gestures of a stand-in of NVGesture, as small as they can be.
CLIPS = {"train_per_class": 4, "test_per_class": 2, "width": 32, "height": 32}
CLIPS |= {"recorded": 14, "window": 8, "short": 3, "seed": 1}
VIEW = {"channels": 3, "normalization": {"mean": [0.0] * 3, "std": [1.0] * 3}}


class KilledError(BaseException):
    """What no code catches, as a kill."""


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


def damaged(content, chance, pieces=()):
    """Bytes after cuts, repeats, replaced and inserted ones, more often near the beginning than elsewhere."""
    content = bytearray(content)
    for _ in range(chance.choice([1, 1, 2, 5])):
        end = len(content) if chance.random() < 0.7 else min(len(content), 600)
        i, j = sorted(chance.randrange(end + 1) for _ in range(2))
        match chance.randrange(6):
            case 0:
                content[i : i + 1] = chance.randbytes(1)
            case 1:
                content[i : i + chance.randrange(20)] = chance.choice([bytes(20), *pieces])
            case 2:
                del content[i : i + chance.randrange(50)]
            case 3:
                content[i:i] = content[i : min(j, i + 60)]
            case 4:
                content[i:i] = chance.randbytes(chance.randrange(20))
            case _:
                del content[j:]
    return bytes(content)


def read_or_refuse(read, originals, pieces=()):
    """Read damaged contents; yield what is read, and raise if anything but our error is.

    Some of them are refused, and some read.
    """
    chance, refused = random.Random(0), 0
    for _ in range(FUZZ):
        try:
            yield read(damaged(chance.choice(originals), chance, pieces))
        except UserError:
            refused += 1
    assert 0 < refused < FUZZ
