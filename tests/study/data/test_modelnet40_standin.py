import numpy as np
import pytest

from equimodal.study.data.modelnet40_standin import CLASSES, make, write
from equimodal.study.data.render import draw
from equimodal.study.datasets import StandInObjects
from tests.study.data.helpers import contents, read_off


def objects(train):
    return StandInObjects(train_per_class=train, test_per_class=1, seed=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("standin")
    write(folder, 8, objects(3))
    return folder / "ModelNet40"


def test_meshes_are_simple_and_no_two_are_the_same(folder):
    for path in folder.rglob("*.off"):
        assert 40 < len(read_off(path).triangles) < 1000
    assert len(set(contents(folder).values())) == 4 * len(CLASSES)


def test_an_object_stays_the_same_when_there_are_more(folder, tmp_path):
    write(tmp_path, 8, objects(1))
    more = {read_off(p).vertices.tobytes() for p in folder.rglob("*.off")}
    assert {read_off(p).vertices.tobytes() for p in tmp_path.rglob("*.off")} <= more


@pytest.mark.parametrize("name", CLASSES)
def test_front_and_rear_differ(name):
    mesh = make(name, np.random.default_rng(0))
    front, rear = draw(mesh, [0, 6], size=64).astype(int)
    assert np.abs(front - rear).mean() > 0.5
