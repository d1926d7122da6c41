"""Stand-ins for ModelNet40: simple furniture and things, made by code, in its layout.

ModelNet40 may not be passed on, so the demo and the tests use these. Every kind has a front, which
looks to -y as in ModelNet40, and a rear that looks different; sizes and details are drawn at random.
Numbers made from them say nothing about ModelNet40.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy import ndarray
from numpy.random import Generator

from equimodal.study.data.off import Mesh, write_off
from equimodal.study.files import write_text

if TYPE_CHECKING:
    from equimodal.study.datasets import StandInObjects

README = """\
These meshes are stand-ins. They were made by code (equimodal.study.data.modelnet40_standin, seed {seed})
in the layout of ModelNet40, are none of its models, and say nothing about results on it.
There are {classes} classes, each with {train_per_class} objects to train and {test_per_class} to test.
"""
SEGMENTS = 20  # corners of what is round
TURN = 20.0  # degrees, how far an object may be turned away from the front


def write(folder: Path, classes: int, of: "StandInObjects") -> None:
    """Write `ModelNet40/<class>/<train or test>/<class>_0001.off` and on, and a README.txt.

    Every third file has its counts on the line of `OFF`, as part of ModelNet40 has. An object
    stays the same whatever the counts.
    """
    counts = {"train": of.train_per_class, "test": of.test_per_class}
    objects = [(*part, i) for part in enumerate(counts) for i in range(counts[part[1]])]
    for label, name in enumerate(list(CLASSES)[:classes]):
        for number, (part, split, i) in enumerate(objects, 1):
            random = np.random.default_rng([of.seed, label, part, i])
            path = folder / "ModelNet40" / name / split / f"{name}_{number:04d}.off"
            mesh = _placed(make(name, random), random)
            write_off(path, mesh, counts_apart=number % 3 != 0)
    write_text(README.format(classes=classes, **of.model_dump()), folder / "README.txt")


def make(name: str, random: Generator) -> Mesh:
    """Make an object of a class, a key of CLASSES; its front looks to -y, and up is z."""
    return _joined(CLASSES[name](random))


def _placed(mesh: Mesh, random: Generator) -> Mesh:
    """Turn an object a little, and give it any size and place: users must not rely on either."""
    turned = _turned(mesh, 2, np.radians(random.uniform(-TURN, TURN)))
    vertices = random.uniform(0.1, 100) * (turned.vertices + random.uniform(-1, 1, 3))
    return Mesh(vertices.round(6), mesh.triangles)


# The classes. Lengths are in meters, more or less.


def _airplane(random: Generator) -> list[Mesh]:
    length, radius = random.uniform(3, 4), random.uniform(0.18, 0.3)
    span, chord = random.uniform(1.2, 2.0), random.uniform(0.4, 0.7)
    body = _revolved([(0, 0), (0.6, 0.25), (1, 0.7), (1, length - 1), (0.2, length)], radius)
    parts = [_moved(_turned(body, 0, -np.pi / 2), (0, -length / 2, 0))]
    sweep = random.uniform(0, 0.5)
    for side in (-1, 1):
        parts.append(_slab((0, 0, 0), (side * span, sweep, 0.1), chord, 0.06))
        parts.append(
            _slab((0, 0.42 * length, 0.1), (side * span * 0.4, 0.45 * length, 0.1), 0.3, 0.04)
        )
        if random.random() < 0.6:
            engine = _turned(_revolved([(1, 0), (1, 0.5)], 0.1), 0, -np.pi / 2)
            parts.append(_moved(engine, (side * span * 0.5, -0.3 + sweep / 2, -0.15)))
    return [*parts, _box((0, 0.42 * length, 0.35), (0.05, 0.4, random.uniform(0.5, 0.8)))]


def _bottle(random: Generator) -> list[Mesh]:
    height, radius = random.uniform(0.8, 1.4), random.uniform(0.15, 0.28)
    neck = random.uniform(0.25, 0.45)
    shoulder = height * random.uniform(0.55, 0.75)
    profile = [(0, 0), (1, 0), (1, shoulder), (neck, shoulder + 0.2), (neck, height), (0, height)]
    label = _box(
        (0, -radius, shoulder / 2), (radius, radius * 0.5, shoulder * random.uniform(0.4, 0.8))
    )
    return [_revolved(profile, radius), label]


def _chair(random: Generator) -> list[Mesh]:
    width, depth = random.uniform(0.4, 0.6, 2)
    seat, back = random.uniform(0.4, 0.5), random.uniform(0.4, 0.7)
    parts = _legs(width, depth, seat, random.uniform(0.03, 0.06))
    parts.append(_box((0, 0, seat), (width, depth, 0.05)))
    if random.random() < 0.5:
        parts.append(_box((0, depth / 2, seat + back / 2), (width, 0.04, back)))
    else:
        rungs = int(random.integers(2, 5))
        heights = np.linspace(seat + back / rungs, seat + back, rungs)
        parts += [_box((0, depth / 2, z), (width, 0.03, 0.07)) for z in heights]
        sides = (-width / 2, width / 2)
        parts += [_box((x, depth / 2, seat + back / 2), (0.04, 0.04, back)) for x in sides]
    return parts


def _cup(random: Generator) -> list[Mesh]:
    height, radius = random.uniform(0.8, 1.3), random.uniform(0.35, 0.55)
    foot = random.uniform(0.6, 1.0)
    profile = [(0, 0), (foot, 0), (1, height), (0.88, height), (0.88 * foot, 0.1), (0, 0.1)]
    angles = np.linspace(-np.pi / 2, np.pi / 2, 9)
    reach, rise = random.uniform(0.25, 0.4), random.uniform(0.25, 0.35) * height
    arc = [(0, -0.8 * radius - reach * np.cos(a), height / 2 + rise * np.sin(a)) for a in angles]
    handle = _swept(arc, random.uniform(0.04, 0.07))
    return [_revolved(profile, radius), _turned(handle, 2, random.uniform(-0.5, 0.5))]


def _dresser(random: Generator) -> list[Mesh]:
    width, depth, height = random.uniform([0.7, 0.4, 0.7], [1.4, 0.6, 1.3])
    rows, columns = int(random.integers(2, 5)), int(random.integers(1, 3))
    parts = [_box((0, 0, height / 2), (width, depth, height))]
    for row in range(rows):
        for column in range(columns):
            x = ((column + 0.5) / columns - 0.5) * width
            z = (row + 0.5) / rows * height
            front = (0.9 * width / columns, 0.06, 0.85 * height / rows)
            parts.append(_box((x, -depth / 2, z), front))
            parts.append(_box((x, -depth / 2 - 0.05, z), (0.12, 0.05, 0.03)))
    return parts


def _lamp(random: Generator) -> list[Mesh]:
    height, reach = random.uniform(0.9, 1.5), random.uniform(0.3, 0.6)
    base = _revolved([(0, 0), (1, 0), (1, 0.05), (0, 0.05)], random.uniform(0.2, 0.35))
    bend = [(0, 0.1, 0), (0, 0.1, 0.7 * height), (0, 0, 0.95 * height), (0, -reach, height)]
    wide = random.uniform(0.15, 0.3)
    shade = _revolved([(1, 0), (0.4, 0.25), (0.3, 0.25)], wide)
    tilted = _turned(shade, 0, -random.uniform(0.1, 0.7))
    return [base, _swept(bend, 0.03), _moved(tilted, (0, -reach, height - 0.2))]


def _monitor(random: Generator) -> list[Mesh]:
    width, height = random.uniform(0.9, 1.4), random.uniform(0.6, 0.9)
    lift, frame = random.uniform(0.15, 0.35), random.uniform(0.05, 0.1)
    middle = lift + height / 2
    parts = [_box((0, 0, middle), (width - frame, 0.06, height - frame))]
    for side in (-1, 1):
        parts.append(_box((side * (width - frame) / 2, 0, middle), (frame, 0.14, height)))
        parts.append(_box((0, 0, middle + side * (height - frame) / 2), (width, 0.14, frame)))
    bulge = random.uniform(0.1, 0.4)
    parts.append(_box((0, bulge / 2, middle), (width * 0.6, bulge, height * 0.6)))
    parts.append(_box((0, 0.06, middle / 2), (0.12, 0.06, middle)))
    return [*parts, _box((0, 0.05, 0.02), (random.uniform(0.35, 0.6), 0.35, 0.04))]


def _sofa(random: Generator) -> list[Mesh]:
    width, depth = random.uniform(1.4, 2.2), random.uniform(0.7, 0.9)
    seat, back, arm = random.uniform([0.35, 0.35, 0.1], [0.45, 0.5, 0.2])
    parts = [_box((0, 0, seat / 2), (width, depth, seat))]
    parts.append(_box((0, depth / 2, (seat + back) / 2), (width, 0.18, seat + back)))
    for side in (-1, 1):
        parts.append(_box((side * width / 2, 0.05, 0.3), (arm, depth, 0.6)))
    cushions = int(random.integers(2, 4))
    pitch = (width - arm) / cushions
    places = (np.arange(cushions) - (cushions - 1) / 2) * pitch
    return parts + [
        _box((x, -0.05, seat + 0.06), (0.92 * pitch, 0.75 * depth, 0.12)) for x in places
    ]


MAKERS = (_airplane, _bottle, _chair, _cup, _dresser, _lamp, _monitor, _sofa)
CLASSES: dict[str, Callable[[Generator], list[Mesh]]] = {
    maker.__name__.removeprefix("_"): maker for maker in MAKERS
}


# What they are made of

Point = Sequence[float] | ndarray


def _legs(width: float, depth: float, height: float, thick: float) -> list[Mesh]:
    x, y, size = (width - thick) / 2, (depth - thick) / 2, (thick, thick, height)
    return [_box((i * x, j * y, height / 2), size) for i in (-1, 1) for j in (-1, 1)]


def _box(center: Point, size: Point) -> Mesh:
    corners = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) / 2
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    return Mesh(corners * size + center, _halved(quads))


def _slab(root: Point, tip: Point, chord: float, thick: float) -> Mesh:
    """A wing: a box from root to tip, half as deep at the tip."""
    box = _box((0.5, 0, 0), (1, 1, thick)).vertices
    along, depth = box[:, :1], chord * (1 - box[:, :1] / 2)
    spread = np.concatenate([0 * depth, box[:, 1:2] * depth, box[:, 2:]], axis=1)
    return Mesh(
        root + along * np.subtract(tip, root) + spread, _box((0, 0, 0), (1, 1, 1)).triangles
    )


def _revolved(profile: Sequence[tuple[float, float]], radius: float) -> Mesh:
    """Turn a line around z: its points are (share of the radius, height)."""
    angles = np.arange(SEGMENTS) * 2 * np.pi / SEGMENTS
    circle = np.stack([np.cos(angles), np.sin(angles), np.zeros(SEGMENTS)], axis=1)
    return _between_rings([radius * r * circle + [0, 0, z] for r, z in profile])


def _swept(path: Sequence[Point], radius: float) -> Mesh:
    """A pipe along a path that lies across x."""
    points, across = np.array(path, float), np.array([1.0, 0, 0])
    angles = np.arange(8) * np.pi / 4
    rings = []
    for point, way in zip(points, np.gradient(points, axis=0), strict=True):
        other = np.cross(way, across) / np.linalg.norm(way)
        ring = np.outer(np.cos(angles), across) + np.outer(np.sin(angles), other)
        rings.append(point + radius * ring)
    return _between_rings(rings)


def _between_rings(rings: Sequence[ndarray]) -> Mesh:
    """Join each point of a ring to those beside it and on the next ring."""
    place = np.arange(len(rings) * len(rings[0])).reshape(len(rings), -1)
    beside = np.roll(place, -1, axis=1)
    quads = np.stack([place[:-1], beside[:-1], beside[1:], place[1:]], axis=-1)
    return Mesh(np.concatenate(rings), _halved(quads.reshape(-1, 4)))


def _halved(quads: Sequence[Sequence[int]] | ndarray) -> ndarray:
    """Cut four-cornered faces into triangles."""
    return np.asarray(quads, np.int64)[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3)


def _moved(mesh: Mesh, by: Point) -> Mesh:
    return Mesh(mesh.vertices + by, mesh.triangles)


def _turned(mesh: Mesh, axis: int, angle: float) -> Mesh:
    """Turn around a coordinate axis, by radians."""
    i, j = [(1, 2), (2, 0), (0, 1)][axis]
    vertices = mesh.vertices.copy()
    vertices[:, i] = np.cos(angle) * mesh.vertices[:, i] - np.sin(angle) * mesh.vertices[:, j]
    vertices[:, j] = np.sin(angle) * mesh.vertices[:, i] + np.cos(angle) * mesh.vertices[:, j]
    return Mesh(vertices, mesh.triangles)


def _joined(parts: Sequence[Mesh]) -> Mesh:
    offsets = np.cumsum([0, *(len(p.vertices) for p in parts)])
    return Mesh(
        np.concatenate([p.vertices for p in parts]),
        np.concatenate([p.triangles + k for p, k in zip(parts, offsets[:-1], strict=True)]),
    )
