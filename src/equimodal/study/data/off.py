"""Meshes in the OFF format, as ModelNet40 has them.

An OFF file says `OFF`, then how many vertices, faces and edges it has, then one vertex a line (x y z)
and one face a line (how many corners, their vertices, perhaps a color). In part of ModelNet40 the
counts follow `OFF` on the same line without a space: `OFF3514 3546 0`.
"""

import re
import warnings
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64, Num
from numpy import ndarray

from equimodal.study.files import reading, write_text


class Mesh(NamedTuple):
    """A surface of triangles."""

    vertices: Float64[ndarray, "n 3"]
    triangles: Int64[ndarray, "m 3"]  # places in `vertices`


def parse_off(content: bytes, name: str) -> Mesh:
    """Read what stands in an OFF file.

    A polygon becomes a fan of triangles around its first corner. Comments, blank lines, colors of
    faces and whatever follows the last face are passed over. A face of one or two corners has no
    surface and is left out.

    Raises:
        UserError: If it is empty, truncated, damaged or not such a file; calls it by its name.
    """
    with reading(name, "an OFF file", "get it"):
        lines = list(filter(bytes.strip, re.sub(rb"#[^\r\n]*", b"", content).splitlines()))
        if not lines:
            raise ValueError("it is empty")
        head = lines[0].strip()
        if not head.startswith(b"OFF"):
            raise ValueError("it does not begin with `OFF`")
        first = 2 if head == b"OFF" else 1
        words = b" ".join(lines[:first]).strip().removeprefix(b"OFF").split()
        if len(words) < 2 or not all(re.fullmatch(b"[0-9]{1,18}", word) for word in words[:2]):
            raise ValueError("it has no counts of vertices and faces")
        vertices, faces = int(words[0]), int(words[1])
        if len(lines) < first + vertices + faces:
            raise ValueError(f"it ends before its {vertices} vertices and {faces} faces are given")
        points = _numbers(lines[first : first + vertices], float)
        if len(points) != 3 * vertices:
            raise ValueError("a vertex does not have three coordinates")
        triangles = _triangles(lines[first + vertices : first + vertices + faces])
        if not len(triangles):
            raise ValueError("it has no face of three corners or more")
        if triangles.min() < 0 or triangles.max() >= vertices:
            raise ValueError(f"a face has a corner outside of its {vertices} vertices")
        if not np.isfinite(points).all():
            raise ValueError("a vertex is not finite")
        return Mesh(points.reshape(-1, 3), triangles.astype(np.int64))


def _numbers(lines: list[bytes], kind: type) -> ndarray:
    """Read numbers that stand between spaces."""
    text = b" ".join(lines)
    with warnings.catch_warnings(action="error"):  # older versions of numpy only warn
        try:
            return np.fromstring(text, kind, sep=" ")
        except (DeprecationWarning, ValueError):
            return np.array([kind(word) for word in text.split()])  # raises, and says of which


def _triangles(faces: list[bytes]) -> Num[ndarray, "m 3"]:
    """Cut faces into fans of triangles around their first corners."""
    try:
        numbers = _numbers(faces, int)
    except ValueError:  # perhaps of a color
        numbers = np.zeros(0, int)
    if len(numbers) == 4 * len(faces) and (numbers[::4] == 3).all():  # nearly always
        return numbers.reshape(-1, 4)[:, 1:].copy()
    fans: list[tuple[int, int, int]] = []
    for face in faces:
        count, *corners = face.split()
        if not 1 <= int(count) <= len(corners):
            raise ValueError(f"a face of {int(count)} corners has {len(corners)}")
        hub, *others = map(int, corners[: int(count)])
        fans += [(hub, a, b) for a, b in pairwise(others)]
    return np.array(fans, float).reshape(-1, 3)  # which has room for any number of digits


def write_off(path: Path, mesh: Mesh, *, counts_apart: bool = True) -> None:
    """Write an OFF file that reads back as the same numbers; raises as `write_aside`.

    The counts stand on a line of their own, or follow `OFF` without a space as in part of ModelNet40.
    """
    apart = "\n" if counts_apart else ""
    header = f"OFF{apart}{len(mesh.vertices)} {len(mesh.triangles)} 0"
    vertices = (" ".join(map(repr, row)) for row in mesh.vertices.tolist())
    faces = (f"3 {a} {b} {c}" for a, b, c in mesh.triangles.tolist())
    write_text("\n".join([header, *vertices, *faces]) + "\n", path)
