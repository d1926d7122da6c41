import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equimodal.study.data.off import Mesh, parse_off, write_off
from equimodal.study.errors import UserError
from tests.study.data.helpers import read_off, read_or_refuse

TETRAHEDRON = b"""OFF
4 4 6
0 0 0
1 0 0
0 1 0
0 0 1.5
3 0 2 1
3 0 1 3
3 0 3 2
3 1 2 3
"""
CORNERS = [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1.5]]
FACES = [[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]]


SAME = {
    "as it should be": TETRAHEDRON,
    "counts on the line of OFF": TETRAHEDRON.replace(b"OFF\n", b"OFF"),
    "counts on the line of OFF, with a space": TETRAHEDRON.replace(b"OFF\n", b"OFF "),
    "no count of edges": TETRAHEDRON.replace(b"4 4 6", b"4 4"),
    "line ends of Windows": TETRAHEDRON.replace(b"\n", b"\r\n"),
    "line ends of old Macs": TETRAHEDRON.replace(b"\n", b"\r"),
    "no last line end": TETRAHEDRON[:-1],
    "blank lines": TETRAHEDRON.replace(b"\n", b"\n\n \t\n"),
    "comments": b"# made by hand\n"
    + TETRAHEDRON.replace(b"1.5", b"1.5 # top").replace(b"6\n", b"6#\n"),
    "colors of faces": TETRAHEDRON.replace(b"3 0 2 1", b"3 0 2 1 255 0 10"),
    "colors as fractions": TETRAHEDRON.replace(b"3 0 2 1", b"3 0 2 1 0.25 0 1e-3"),
    "spaces around": TETRAHEDRON.replace(b" ", b"\t  ").replace(b"\n", b" \n  "),
    "more lines than promised": TETRAHEDRON + b"3 0 1 2\n",
    "an edge among the faces": TETRAHEDRON.replace(b"4 4 6", b"4 5 6") + b"2 0 1\n",
}


@pytest.mark.parametrize("content", SAME.values(), ids=SAME)
def test_all_ways_to_write_a_mesh_read_the_same(content):
    mesh = parse_off(content, "it")
    assert mesh.vertices.dtype == np.float64
    assert (mesh.vertices.tolist(), mesh.triangles.tolist()) == (CORNERS, FACES)


def test_a_polygon_becomes_a_fan_around_its_first_corner():
    content = b"OFF\n5 2 0\n" + b"0 0 0\n" * 5 + b"5 4 3 2 1 0\n3 0 1 2\n"
    fan = [[4, 3, 2], [4, 2, 1], [4, 1, 0], [0, 1, 2]]
    assert parse_off(content, "it").triangles.tolist() == fan


BAD = {
    "empty": (b"", "it is empty"),
    "another format": (b"ply\n1 2 3\n", "does not begin with `OFF`"),
    "no counts": (b"OFF\n", "no counts"),
    "a negative count": (b"OFF-4 4 6\n", "no counts"),
    "absurd counts": (b"OFF\n4 999999999999 6\n0 0 0\n", "ends before its 4 vertices and 9{12}"),
    "truncated": (TETRAHEDRON[:-8], "ends before its 4 vertices and 4 faces"),
    "cut within a line": (TETRAHEDRON[:-4], "a face of 3 corners has 1"),
    "a word among coordinates": (TETRAHEDRON.replace(b"1.5", b"x"), "'x'"),
    "two coordinates": (TETRAHEDRON.replace(b"0 1 0\n", b"0 1\n"), "three coordinates"),
    "four coordinates": (TETRAHEDRON.replace(b"1.5", b"1 .5"), "three coordinates"),
    "not finite": (TETRAHEDRON.replace(b"1.5", b"nan"), "not finite"),
    "a word among corners": (TETRAHEDRON.replace(b"3 0 1 3", b"3 0 b 3"), "'b'"),
    "a vertex that is not there": (TETRAHEDRON.replace(b"3 0 1 3", b"3 0 1 4"), "outside"),
    "a negative vertex": (TETRAHEDRON.replace(b"3 0 1 3", b"3 0 -1 3"), "outside"),
    "a vertex of many digits": (TETRAHEDRON.replace(b"3 0 1 3", b"3 0 1 " + b"9" * 30), "outside"),
    "too few corners": (TETRAHEDRON.replace(b"3 0 1 3", b"4 0 1 3"), "a face of 4 corners has 3"),
    "no face with a surface": (b"OFF\n2 1 0\n0 0 0\n1 1 1\n2 0 1\n", "no face of three"),
}


@pytest.mark.parametrize(("content", "message"), BAD.values(), ids=BAD)
def test_a_bad_mesh_is_refused_with_its_name(content, message):
    with pytest.raises(UserError, match=f"^it is damaged .*{message}.*expected an OFF file"):
        parse_off(content, "it")


@st.composite
def meshes(draw):
    finite = st.floats(allow_nan=False, allow_infinity=False)
    vertices = draw(st.lists(st.tuples(finite, finite, finite), min_size=1, max_size=8))
    place = st.integers(0, len(vertices) - 1)
    triangles = draw(st.lists(st.tuples(place, place, place), min_size=1, max_size=8))
    return Mesh(np.array(vertices), np.array(triangles))


@settings(database=None, max_examples=100)
@given(mesh=meshes(), counts_apart=st.booleans())
def test_what_is_written_is_read_back_exactly(tmp_path_factory, mesh, counts_apart):
    path = tmp_path_factory.mktemp("off") / "it.off"
    write_off(path, mesh, counts_apart=counts_apart)
    again = read_off(path)
    assert again.vertices.tolist() == mesh.vertices.tolist()
    assert again.triangles.tolist() == mesh.triangles.tolist()


def parsed(content):
    mesh = parse_off(content, "it")
    assert np.isfinite(mesh.vertices).all()
    assert mesh.triangles.min() >= 0
    assert mesh.triangles.max() < len(mesh.vertices)


def test_any_damage_is_read_or_refused():
    pieces = [b"\n", b" ", b"#", b"OFF", b"-1", b"3", b"1e999", b"nan", b"9" * 20, b"4 4", b""]
    list(read_or_refuse(parsed, list(SAME.values()), pieces))
