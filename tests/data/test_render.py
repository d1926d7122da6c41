import os
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from equimodal.data import render
from equimodal.data.archive import open_archive
from equimodal.data.modelnet40_standin import make
from equimodal.data.off import Mesh, read_off
from equimodal.data.render import Renderer
from equimodal.errors import UserError

SIZE = 64
ALL = range(12)
MIRROR = os.environ.get("EQUIMODAL_MIRROR")  # read here: a fixture hides it from the tests
REAL = Path(MIRROR or "", "modelnet40")
RENDERINGS = REAL / "modelnet40v1-10classes.tar"


@pytest.fixture(scope="module")
def renderer():
    return Renderer("new_12x", SIZE)


@pytest.fixture(scope="module")
def white():
    return Renderer("v1", SIZE)


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


def test_front_and_rear_of_a_chair_differ(renderer, chair):
    front, rear = renderer.draw(chair, [0, 6]).astype(int)
    assert np.abs(front - rear).mean() > 10


def test_a_mesh_turned_around_shows_its_rear_in_view_0(renderer, chair):
    rear = renderer.draw(chair, [6])[0].astype(int)
    front_of_turned = renderer.draw(turned(chair), [0])[0]
    assert np.abs(rear - front_of_turned).mean() < 0.5


def test_the_camera_walks_to_its_right(renderer):
    ground = [[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]]
    post = [[0.9, 0, 0], [1, 0, 0], [0.95, 0, 2], [0.95, -0.1, 0], [0.95, 0.1, 0], [0.95, 0, 2]]
    triangles = [[0, 1, 2], [0, 2, 3], [4, 5, 6], [7, 8, 9]]
    images = renderer.draw(
        Mesh(np.array([*ground, *post], float), np.array(triangles)), [0, 3, 6, 9]
    )
    tops = [
        np.nonzero(image)[1][np.nonzero(image)[0] == np.nonzero(image)[0].min()] for image in images
    ]
    right, middle, left, behind = [top.mean() / SIZE for top in tops]
    assert right > 0.6  # seen from -y, x points to the right
    assert middle == pytest.approx(0.5, abs=0.05)  # seen from +x, the post is near
    assert left < 0.4
    assert behind == pytest.approx(0.5, abs=0.05)


def test_the_object_fills_the_frame_in_every_view(renderer, chair):
    for image in renderer.draw(chair, ALL):
        assert max(spans(image, 0)) >= SIZE - 1


def test_nothing_is_cut_off(renderer, white, chair):
    """Seen with 0.9 of the frame, everything lies inside; with all of it, the shape is the same."""
    for image in white.draw(chair, ALL):
        assert max(spans(image, 255)) == pytest.approx(0.9 * SIZE, abs=2)
    assert (renderer.draw(chair, ALL) > 0).mean() < 0.6


def test_size_and_place_of_a_mesh_do_not_matter(renderer, chair):
    moved = Mesh(1000 * chair.vertices + [5, -70, 2000], chair.triangles)
    difference = renderer.draw(chair, ALL).astype(int) - renderer.draw(moved, ALL)
    assert np.abs(difference).mean() < 0.5


def test_vertices_of_no_face_do_not_matter(renderer, chair):
    stray = Mesh(np.vstack([chair.vertices, [[1e6, 0, 0]]]), chair.triangles)
    assert (renderer.draw(chair, [0]) == renderer.draw(stray, [0])).all()


def test_the_same_mesh_gives_the_same_bytes(renderer, chair):
    first = renderer.draw(chair, ALL)
    renderer.draw(turned(chair), [3])
    assert (first == renderer.draw(chair, ALL)).all()
    assert (first == Renderer("new_12x", SIZE).draw(chair, ALL)).all()


def test_the_background_is_black_or_white(renderer, white, chair):
    assert renderer.draw(chair, [0])[0, 0, 0] == 0
    assert white.draw(chair, [0])[0, 0, 0] == 255


@pytest.mark.parametrize("corners", [[0, 1, 2, 3], [3, 2, 1, 0]], ids=["front", "back"])
def test_a_face_turned_to_the_camera_has_the_full_gray_on_both_sides(renderer, corners):
    slope = np.radians(31.06)
    up = np.array([0, np.sin(slope), np.cos(slope)])
    square = np.array(
        [s * np.array([1.0, 0, 0]) + t * up for s, t in [(-1, -1), (1, -1), (1, 1), (-1, 1)]]
    )
    a, b, c, d = corners
    image = renderer.draw(Mesh(square, np.array([[a, b, c], [a, c, d]])), [0])[0]
    assert (image == round(0.8 * 255)).all()


def test_views_come_in_the_order_asked_for(renderer, chair):
    assert (renderer.draw(chair, [6, 0]) == renderer.draw(chair, ALL)[[6, 0]]).all()


EXTENTS = {"a point": 0.0, "too small to scale": 1e-320, "endless": 1e308}


@pytest.mark.parametrize("extent", EXTENTS.values(), ids=EXTENTS)
def test_a_mesh_without_a_usable_extent_is_refused(renderer, extent):
    corners = np.array([[-1, 0, 0], [1, 0, 0], [0, 1, 0]]) * extent
    with pytest.raises(UserError, match="can not be drawn"):
        renderer.draw(Mesh(corners, np.array([[0, 1, 2]])), [0])


@pytest.mark.parametrize("extent", [1e-300, 1e-3, 1e3, 1e300])
def test_any_other_extent_is_drawn_the_same(renderer, extent):
    corners = np.array([[-1, 0, 0], [1, 0, 0], [0, 1, 0]]) / 2
    triangle = np.array([[0, 1, 2]])
    difference = renderer.draw(Mesh(corners * extent, triangle), ALL).astype(int)
    difference -= renderer.draw(Mesh(corners, triangle), ALL)
    assert np.abs(difference).mean() < 0.1


def test_a_machine_without_a_driver_is_told_what_to_install(monkeypatch):
    class NoDriver:
        def GetClassName(self):  # noqa: N802
            return "vtkOSOpenGLRenderWindow"

    monkeypatch.setattr(render, "vtkRenderWindow", NoDriver)
    monkeypatch.setattr(render.ctypes.util, "find_library", lambda name: None)
    with pytest.raises(UserError, match="apt install libegl1"):
        Renderer("new_12x", SIZE)


def test_no_display_is_looked_for_and_nothing_is_printed(monkeypatch, capfd, chair):
    monkeypatch.setenv("DISPLAY", ":987")
    Renderer("new_12x", SIZE).draw(chair, [0])
    assert capfd.readouterr() == ("", "")
    assert render.os.environ["DISPLAY"] == ":987"


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
    drawn = Renderer("v1", 224).draw(read_off(REAL / f"off/{mesh}.off"), ALL)
    archive = open_archive(RENDERINGS)
    images = [archive.read(f"modelnet40v1/{published}_{v + 1:03}.jpg") for v in ALL]
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
