"""Meshes in the OFF format, as ModelNet40 has them.

An OFF file says `OFF`, then how many vertices, faces and edges it has, then one vertex a line (x y z)
and one face a line (how many corners, their vertices, perhaps a color). In part of ModelNet40 the
counts follow `OFF` on the same line without a space: `OFF3514 3546 0`.
"""

import re
from dataclasses import dataclass
from io import StringIO
from itertools import pairwise
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray

from equimodal.errors import UserError, first_line
from equimodal.files import write_aside


@dataclass(frozen=True)
class Mesh:
    """A surface of triangles."""

    vertices: Float64[ndarray, "n 3"]
    triangles: Int64[ndarray, "m 3"]  # places in `vertices`


def read_off(path: Path) -> Mesh:
    """Read an OFF file; raises as `parse_off`, and UserError if there is no such file."""
    try:
        return parse_off(path.read_bytes(), str(path))
    except OSError as error:
        raise UserError(f"{path} can not be read: {error.strerror or error}") from None


def parse_off(content: bytes, name: str) -> Mesh:
    """Read what stands in an OFF file.

    A polygon becomes a fan of triangles around its first corner. Comments, blank lines, colors of
    faces and whatever follows the last face are passed over. A face of one or two corners has no
    surface and is left out.

    Args:
        content: Of the file.
        name: Of the file, for messages.

    Raises:
        UserError: If it is empty, truncated, damaged or not such a file.
    """
    try:
        return _parse(content)
    except Exception as error:  # noqa: BLE001  trimesh raises nearly anything on damaged bytes
        raise UserError(f"{name} is not an OFF file, or damaged ({first_line(error)})") from None


def _parse(content: bytes) -> Mesh:
    import trimesh  # here: it takes half a second, and only drawing needs it

    # Trimesh loses a face where a comment and a blank line meet, so it is given neither.
    text = re.sub(r"#[^\r\n]*", "", content.decode("latin-1"))
    lines = list(filter(str.strip, text.splitlines()))
    if not lines:
        raise ValueError("it is empty")
    head = lines[0].strip()
    if not head.startswith("OFF"):
        raise ValueError("it does not begin with `OFF`")
    first = 2 if head == "OFF" else 1
    words = " ".join(lines[:first]).strip().removeprefix("OFF").split()
    if len(words) < 2 or not all(re.fullmatch("[0-9]{1,18}", word) for word in words[:2]):
        raise ValueError("it has no counts of vertices and faces")
    vertices, faces = int(words[0]), int(words[1])
    lines = lines[: first + vertices + faces]
    if len(lines) < first + vertices + faces:
        raise ValueError(f"it ends before its {vertices} vertices and {faces} faces are given")
    if len(" ".join(lines[first : first + vertices]).split()) != 3 * vertices:
        raise ValueError("a vertex does not have three coordinates")
    triangles = [fan for line in lines[first + vertices :] for fan in _fan(line)]
    if not triangles:
        raise ValueError("it has no face of three corners or more")
    clean = ["OFF", f"{vertices} {len(triangles)} 0", *lines[first : first + vertices], *triangles]
    mesh = trimesh.load_mesh(StringIO("\n".join(clean)), file_type="off", process=False)
    if mesh.vertices.shape != (vertices, 3) or mesh.faces.shape != (len(triangles), 3):
        raise ValueError(f"its {len(triangles)} triangles are read as {len(mesh.faces)}")
    if not np.isfinite(mesh.vertices).all():
        raise ValueError("a vertex is not finite")
    return Mesh(np.array(mesh.vertices), np.array(mesh.faces))


def _fan(face: str) -> list[str]:
    """Cut a face into triangles around its first corner; trimesh fails on five corners or more."""
    count, *corners = face.split()
    if not 1 <= int(count) <= len(corners):
        raise ValueError(f"a face of {count} corners has {len(corners)}")
    if count == "3":
        return [face]
    hub, *others = corners[: int(count)]
    return [f"3 {hub} {a} {b}" for a, b in pairwise(others)]


def write_off(path: Path, mesh: Mesh, *, counts_apart: bool = True) -> None:
    """Write an OFF file that reads back as the same numbers.

    Args:
        path: Its folder is made if missing.
        mesh: What to write.
        counts_apart: Whether the counts stand on a line of their own, or follow `OFF` without a
            space as in part of ModelNet40.

    Raises:
        UserError: If it can not be written.
    """
    header = f"OFF{chr(10) if counts_apart else ''}{len(mesh.vertices)} {len(mesh.triangles)} 0"
    vertices = (" ".join(map(repr, row)) for row in mesh.vertices.tolist())
    faces = (f"3 {a} {b} {c}" for a, b, c in mesh.triangles.tolist())
    with write_aside(path) as aside:
        aside.write_text("\n".join([header, *vertices, *faces]) + "\n")
