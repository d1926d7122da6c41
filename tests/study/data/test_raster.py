from itertools import permutations

import numpy as np
import pytest

from equimodal.study.data import raster
from equimodal.study.data.raster import first_faces

NOTHING = -np.ones((4, 4), int)


def seen(*triangles, side=4):
    """Each triangle is three corners (column, row, near)."""
    return first_faces(*np.array(triangles, float).transpose(2, 1, 0), side)


def flat(corners, near):
    return [(x, y, near) for x, y in corners]


def test_a_triangle_covers_the_places_within_and_on_its_edges():
    assert seen(flat([(0, 0), (3, 0), (0, 3)], 1)).tolist() == [
        [0, 0, 0, 0],
        [0, 0, 0, -1],
        [0, 0, -1, -1],
        [0, -1, -1, -1],
    ]


def test_the_order_of_corners_does_not_matter():
    corners = [(0.5, -0.5), (3.5, 1), (1, 3.5)]
    images = [seen(flat(turned, 1)) for turned in permutations(corners)]
    assert all((image == images[0]).all() for image in images)


def test_the_nearest_is_seen_at_each_place():
    both = [[(x, y, near) for x, y in [(-9, -9), (20, -9), (-9, 20)]] for near in (1, 2)]
    assert (seen(*both) == 1).all()
    assert (seen(*reversed(both)) == 0).all()
    image = seen(
        [(-9, -9, 0), (20, -9, 29), (-9, 20, 0)],  # its nearness is its column and 9
        flat([(-9, -9), (20, -9), (-9, 20)], 10.5),
    )
    assert image.tolist() == [[1, 1, 0, 0]] * 4


UNSEEN = {
    "a line": flat([(0, 0), (1, 1), (3, 3)], 1),
    "a point": flat([(1, 1)] * 3, 1),
    "outside": flat([(5, 0), (9, 0), (5, 3)], 1),
    "above": flat([(0, -5), (3, -5), (0, -1)], 1),
    "between the places": flat([(1.2, 1.2), (1.8, 1.2), (1.2, 1.8)], 1),
    "at the camera": [(0, 0, 1), (3, 0, 1), (np.nan, np.nan, np.inf)],
}


@pytest.mark.parametrize("triangle", UNSEEN.values(), ids=UNSEEN)
def test_what_covers_no_place_is_not_seen(triangle):
    assert (seen(triangle) == NOTHING).all()


def test_the_size_of_a_block_does_not_matter(monkeypatch):
    random = np.random.default_rng(0)
    x, y, near = random.uniform(-2, 18, (3, 3, 200))
    whole = first_faces(x, y, near, 16)
    monkeypatch.setattr(raster, "BLOCK", 50)
    assert (first_faces(x, y, near, 16) == whole).all()
    assert len(np.unique(whole)) > 20
