import os
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from equimodal.study.data.archive import read_archive
from equimodal.study.data.modelnet40_standin import make
from equimodal.study.data.off import Mesh
from equimodal.study.data.render import NEW_12X, Style, draw
from equimodal.study.errors import UserError
from tests.study.data.helpers import read_off

SIZE = 64
ALL = range(12)
MIRROR = os.environ.get("EQUIMODAL_MIRROR")  # read here: a fixture hides it from the tests
REAL = Path(MIRROR or "", "modelnet40")
RENDERINGS = REAL / "modelnet40v1-10classes.tar"


def black(mesh, views):
    return draw(mesh, views, size=SIZE)


# The older renderings. The field of view fits 36 silhouettes to 0.1 pixel once each is centered and
# scaled, but the rule of its scale is not known: 0.9 is the largest share seen. Light read off the same images.
V1 = Style(30.0, 11.5, fill=0.9, background=1.0, sun=69.0, diffuse=0.5, ambient=0.23)


def white(mesh, views, size=SIZE):
    return draw(mesh, views, size=size, style=V1)


@pytest.fixture(scope="module")
def chair():
    return make("chair", np.random.default_rng(0))


def turned(mesh):
    """Half a turn around the upright axis."""
    return Mesh(mesh.vertices * [-1, -1, 1], mesh.triangles)


def spans(image, background):
    """Height and width of what is drawn."""
    rows, columns = np.nonzero(image != background)
    return np.ptp(rows) + 1, np.ptp(columns) + 1


def difference(images, others):
    return np.abs(images.astype(int) - others).mean()


def test_front_and_rear_differ_and_a_mesh_turned_around_shows_its_rear_in_view_0(chair):
    front, rear = black(chair, [0, 6])
    assert difference(front, rear) > 10
    assert difference(rear, black(turned(chair), [0])[0]) < 0.5


def test_the_camera_walks_to_its_right():
    ground = [[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]]
    post = [[0.9, 0, 0], [1, 0, 0], [0.95, 0, 2], [0.95, -0.1, 0], [0.95, 0.1, 0], [0.95, 0, 2]]
    triangles = [[0, 1, 2], [0, 2, 3], [4, 5, 6], [7, 8, 9]]
    mesh = Mesh(np.array([*ground, *post], float), np.array(triangles))
    seen = [np.nonzero(image) for image in black(mesh, [0, 3, 6, 9])]
    tops = [columns[rows == rows.min()] for rows, columns in seen]
    right, middle, left, behind = [top.mean() / SIZE for top in tops]
    assert right > 0.6  # seen from -y, x points to the right
    assert middle == pytest.approx(0.5, abs=0.05)  # seen from +x, the post is near
    assert left < 0.4
    assert behind == pytest.approx(0.5, abs=0.05)


def test_the_object_fills_the_frame_in_every_view_and_nothing_is_cut_off(chair):
    """Seen with 0.9 of the frame, everything lies inside; with all of it, the shape is the same."""
    filled, framed = black(chair, ALL), white(chair, ALL)
    for image in filled:
        assert max(spans(image, 0)) >= SIZE - 1
    assert (filled > 0).mean() < 0.6
    for image in framed:
        assert max(spans(image, 255)) == pytest.approx(0.9 * SIZE, abs=2)
        assert {*image[0], *image[-1], *image[:, 0], *image[:, -1]} == {255}


ALIKE = {  # what does not matter of a mesh
    "its size and place": lambda v: 1000 * v + [5, -70, 2000],
    "that it is tiny": lambda v: 1e-300 * v,
    "that it is huge": lambda v: 1e300 * v,
    "vertices of no face": lambda v: np.vstack([v, [[1e6, 0, 0]]]),
}


@pytest.mark.parametrize("change", ALIKE.values(), ids=ALIKE)
def test_meshes_that_look_alike_are_drawn_the_same(chair, change):
    other = Mesh(change(chair.vertices), chair.triangles)
    assert difference(black(chair, ALL), black(other, ALL)) < 0.5


CUBE_GRAYS = [
    # in new_12x 204 times the cosine between a face and the camera, which is 31.06 degrees high
    (NEW_12X, 0, {"front": 174.75, "top": 105.25}),
    (NEW_12X, 1, {"front": 151.34, "side": 87.37, "top": 105.25}),
    # in v1 58.65, and 127.5 times the cosine between a face and the sun, which is 69 degrees high
    (V1, 0, {"front": 104.34, "top": 177.68}),
    (V1, 1, {"front": 98.22, "side": 81.50, "top": 177.68}),
]


@pytest.mark.parametrize(("style", "view", "expected"), CUBE_GRAYS)
def test_each_face_of_a_cube_has_its_gray(style, view, expected):
    box = trimesh.creation.box()
    mesh = Mesh(np.array(box.vertices), np.array(box.faces))
    image = draw(mesh, [view], style=style, size=SIZE)
    grays, counts = np.unique(image[(image != 0) & (image != 255)], return_counts=True)
    common = grays[np.argsort(counts)[-len(expected) :]]
    assert sorted(common.astype(float)) == pytest.approx(sorted(expected.values()), abs=0.6)


def facing(angle):
    """A square that faces the camera of new_12x in view 0, turned by an angle in its plane."""
    slope = np.radians(31.06)
    right, up = np.array([1.0, 0, 0]), np.array([0, np.sin(slope), np.cos(slope)])
    turns = np.radians(angle + np.array([225, 315, 45, 135]))
    return np.array([np.cos(turn) * right + np.sin(turn) * up for turn in turns])


def test_a_pixel_at_an_edge_has_the_mean_of_four_rays():
    image = black(Mesh(facing(20), np.array([[0, 1, 2], [0, 2, 3]])), [0])[0]
    assert set(np.unique(image)) == {0, 51, 102, 153, 204}
    side = SIZE / (np.cos(np.radians(20)) + np.sin(np.radians(20)))  # of the square, in pixels
    assert image.sum() / 204 == pytest.approx(side**2, rel=0.01)


EXTENTS = {"a point": 0.0, "too small to scale": 1e-320, "endless": 1e308}


@pytest.mark.parametrize("extent", EXTENTS.values(), ids=EXTENTS)
def test_a_mesh_without_a_usable_extent_is_refused(extent):
    corners = np.array([[-1, 0, 0], [1, 0, 0], [0, 1, 0]]) * extent
    with pytest.raises(UserError, match="can not be drawn"):
        black(Mesh(corners, np.array([[0, 1, 2]])), [0])


@pytest.mark.skipif(not trimesh.ray.has_embree, reason="there is no embree to compare with")
@pytest.mark.parametrize("name", ["chair", "cup", "lamp"])
def test_numpy_draws_the_same_as_embree(name, monkeypatch):
    mesh = make(name, np.random.default_rng(1))
    styles = {0: black, 255: white}  # by their background
    ours = {background: style(mesh, ALL) for background, style in styles.items()}
    monkeypatch.setattr("trimesh.ray.has_embree", False)
    for background, style in styles.items():
        images, others = ours[background], style(mesh, ALL)
        assert ((images == background) == (others == background)).all()
        assert difference(images, others) < 0.01


# The real files, where they are


def outline(image):
    """Width over height of what is drawn on white, and what is drawn, squeezed to one square."""
    drawn = Image.fromarray(image < 250)
    left, top, right, bottom = drawn.getbbox()
    box = drawn.crop((left, top, right, bottom)).convert("L").resize((64, 64), Image.Resampling.BOX)
    return (right - left) / (bottom - top), np.asarray(box) / 255


@pytest.mark.skipif(
    MIRROR is None or not (RENDERINGS.is_file() and (REAL / "off").is_dir()),
    reason="EQUIMODAL_MIRROR names no folder that holds modelnet40/ with renderings and off/",
)
@pytest.mark.parametrize(
    ("mesh", "published"),
    [
        ("bathtub_0001", "bathtub/train/bathtub_000000001"),
        ("chair_0001", "chair/train/chair_000000182"),
        ("toilet_0001", "toilet/train/toilet_000000458"),
    ],
)
def test_our_cameras_walk_around_a_real_mesh_as_those_of_the_published_images(mesh, published):
    drawn = white(read_off(REAL / f"off/{mesh}.off"), ALL, 224)
    names = [f"modelnet40v1/{published}_{v + 1:03}.jpg" for v in ALL]
    found = dict(read_archive(RENDERINGS, names))
    images = [found[name] for name in names]
    ours = [outline(image) for image in drawn]
    theirs = [outline(np.asarray(Image.open(BytesIO(i)).convert("L"))) for i in images]
    ratios = np.array([ours[v][0] / theirs[v][0] for v in ALL])
    assert abs(ratios - 1).max() < 0.06  # two pixels of their images
    gaps = {
        (first, way): np.mean([abs(ours[(first + way * v) % 12][1] - theirs[v][1]) for v in ALL])
        for first in ALL
        for way in (1, -1)
    }
    assert min(gaps, key=gaps.get) == (0, 1)
