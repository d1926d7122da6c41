"""Meshes in the OFF format, as ModelNet40 has them.

An OFF file says `OFF`, then how many vertices, faces and edges it has, then one vertex a line (x y z)
and one face a line (how many corners, their vertices, perhaps a color). In part of ModelNet40 the
counts follow `OFF` on the same line without a space: `OFF3514 3546 0`.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray

from equimodal.errors import UserError
from equimodal.files import write_aside

IS_SPACE = np.isin(np.arange(256), list(b" \t\n\r\v\f"))


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
    faces and whatever follows the last face are passed over; a face of one or two corners has no
    surface and is left out.

    Args:
        content: Of the file.
        name: Of the file, for messages.

    Raises:
        UserError: If it is empty, truncated or not such a file; names the line.
    """
    lines = _Lines(content, name)
    vertices, faces = _counts(lines)
    start = 2 if lines.counts_apart else 1
    lines.require(start + vertices + faces, f"{vertices} vertices and {faces} faces")
    return Mesh(
        _vertices(lines, start, vertices),
        _triangles(lines, start + vertices, faces, vertices),
    )


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


class _Lines:
    """The lines of a file that hold something, each with its number and its count of words."""

    def __init__(self, content: bytes, name: str) -> None:
        self.name = name
        if b"#" in content:
            content = re.sub(rb"#[^\r\n]*", b"", content)
        if b"\r" in content:
            content = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        self.content = content + b"\n"
        letters = np.frombuffer(self.content, np.uint8)
        space = IS_SPACE[letters]
        begins = np.flatnonzero(~space & np.concatenate([[True], space[:-1]]))
        ends = np.flatnonzero(letters == ord("\n"))
        words = np.diff(np.searchsorted(begins, ends), prepend=0)
        held = np.flatnonzero(words)
        self.words = words[held]
        self.numbers = held + 1
        self._begins = np.concatenate([[0], ends[:-1] + 1])[held]
        self._ends = ends[held]
        self.counts_apart = len(self) > 0 and self.split(0) == [b"OFF"]

    def __len__(self) -> int:
        return len(self.words)

    def split(self, first: int, count: int = 1) -> list[bytes]:
        """Words of `count` lines from `first` on."""
        if count == 0:
            return []
        return self.content[self._begins[first] : self._ends[first + count - 1]].split()

    def require(self, count: int, what: str) -> None:
        if len(self) < count:
            last = self.numbers[-1] if len(self) else 0
            raise UserError(
                f"{self.name} ends after line {last}, but its header promises {what}; it is"
                " truncated or altered"
            )

    def error(self, line: int, expected: str) -> UserError:
        found = b" ".join(self.split(line))[:60].decode("ascii", "backslashreplace")
        return UserError(
            f"{self.name}, line {self.numbers[line]}: expected {expected}, found {found!r}"
        )

    def convert(self, first: int, count: int, kind: type[int] | type[float], what: str) -> ndarray:
        """Turn the words of `count` lines from `first` on into one flat array of numbers.

        Raises:
            UserError: If a word is none; names its line.
        """
        dtype = np.int64 if kind is int else np.float64
        try:
            return np.array(list(map(kind, self.split(first, count))), dtype)
        except (ValueError, OverflowError):
            for line in range(first, first + count):
                try:
                    np.array(list(map(kind, self.split(line))), dtype)
                except (ValueError, OverflowError):
                    raise self.error(line, what) from None
            raise


def _counts(lines: _Lines) -> tuple[int, int]:
    """Return how many vertices and faces the header promises."""
    what = "`OFF` and the counts of vertices, faces and edges"
    if len(lines) == 0:
        raise UserError(f"{lines.name} is empty, expected {what}")
    if not lines.split(0)[0].startswith(b"OFF"):
        raise lines.error(0, what)
    if lines.counts_apart:
        lines.require(2, "counts of vertices and faces")
    line = 1 if lines.counts_apart else 0
    words = b" ".join(lines.split(line)).removeprefix(b"OFF").split()
    if len(words) < 2 or not all(re.fullmatch(rb"[0-9]{1,18}", word) for word in words):
        raise lines.error(line, what)
    vertices, faces = int(words[0]), int(words[1])
    if vertices == 0 or faces == 0:
        raise lines.error(line, "at least one vertex and one face")
    return vertices, faces


def _vertices(lines: _Lines, first: int, count: int) -> Float64[ndarray, "n 3"]:
    what = "the three finite coordinates of a vertex"
    wrong = np.flatnonzero(lines.words[first : first + count] != 3)
    if len(wrong):
        raise lines.error(first + int(wrong[0]), what)
    vertices = lines.convert(first, count, float, what).reshape(-1, 3)
    wrong = np.flatnonzero(~np.isfinite(vertices).all(axis=1))
    if len(wrong):
        raise lines.error(first + int(wrong[0]), what)
    return vertices


def _triangles(lines: _Lines, first: int, count: int, vertices: int) -> Int64[ndarray, "m 3"]:
    what = f"a count of corners and as many vertices from 0 to {vertices - 1}"
    words = lines.words[first : first + count]
    flat = _whole_numbers(lines, first, count, what)
    begins = np.cumsum(words) - words
    corners = flat[begins]
    wrong = np.flatnonzero((corners < 1) | (corners >= words))
    if len(wrong):
        raise lines.error(first + int(wrong[0]), what)
    fans, faces = [], []
    for k in np.unique(corners):
        chosen = np.flatnonzero(corners == k)
        polygons = flat[begins[chosen, None] + np.arange(1, k + 1)]
        wrong = chosen[((polygons < 0) | (polygons >= vertices)).any(axis=1)]
        if len(wrong):
            raise lines.error(first + int(wrong[0]), what)
        hub = np.broadcast_to(polygons[:, :1], polygons[:, 2:].shape)
        fans.append(np.stack([hub, polygons[:, 1:-1], polygons[:, 2:]], axis=-1).reshape(-1, 3))
        faces.append(np.repeat(chosen, max(k - 2, 0)))
    triangles = np.concatenate(fans)
    if len(triangles) == 0:
        raise UserError(f"{lines.name} has no face of three corners or more")
    return (
        triangles if len(fans) == 1 else triangles[np.argsort(np.concatenate(faces), kind="stable")]
    )


def _whole_numbers(lines: _Lines, first: int, count: int, what: str) -> Int64[ndarray, " words"]:
    """Words of the faces as whole numbers; a color may be a fraction, which is not looked at."""
    try:
        return lines.convert(first, count, int, what)
    except UserError:
        numbers = lines.convert(first, count, float, what)
    whole = np.abs(numbers) < 2**53
    whole &= np.floor(numbers, where=whole, out=np.zeros_like(numbers)) == numbers
    return np.where(whole, numbers, -1).astype(np.int64)
