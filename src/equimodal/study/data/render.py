"""Views of a mesh: what a camera sees that walks around it in twelve steps.

They look like `new_12x`, the renderings that the paper uses. The cameras are as measured on the
published images and read from their authors' scene file (docs/data.md).

A ray is sent through every pixel, and the first face that it meets gives the pixel its gray. Embree
finds that face, which needs neither display nor graphics card. Where there is no wheel of embreex,
numpy finds it in more time.

The same mesh gives the same bytes on the same kind of processor. Another kind may choose the other
of two faces where a ray passes between them, for Embree computes in float32.
"""

import math
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import trimesh
from jaxtyping import Float64, Int, UInt8
from numpy import ndarray

from equimodal.study.data.off import Mesh
from equimodal.study.data.raster import first_faces
from equimodal.study.errors import UserError

STEPS = 12  # views of a whole turn
FRONT = 270.0  # degrees, the azimuth of view 0: the camera on -y looks along y
LARGEST_DIMENSION = 5.0  # of the object as it is drawn
SAMPLES = 2  # a pixel at an edge is the mean of SAMPLES x SAMPLES rays
EDGE = 8  # levels of gray between neighbors that are smoothed; a step of less is hardly seen

Points = Float64[ndarray, "n 3"]
Places = Int[ndarray, "*places"]  # rows or columns on the grid of rays; what they meet
Cast = Callable[[tuple[Places, ...]], Places]  # rows and columns -> the faces met, -1 for none


class Style(NamedTuple):
    """How a set of renderings looks. The camera is refitted for every view."""

    elevation: float  # of the camera, degrees above the horizon
    field_of_view: float  # degrees, of the whole frame
    fill: float  # share of the frame's side that the object fills
    background: float  # gray, from 0 (black) to 1
    sun: float  # elevation of the only light, degrees; its azimuth is the camera's
    diffuse: float  # gray of a face turned to the sun, less `ambient`
    ambient: float  # gray of a face turned away


# ASSUME: view 0 stands where it was measured for the older renderings `v1`; the sun stands right behind
# the camera; the material is Blender's plain one, an even gray of 0.8, here without gloss.
NEW_12X = Style(31.06, 49.1, fill=1.0, background=0.0, sun=31.06, diffuse=0.8, ambient=0.0)


class Camera(NamedTuple):
    """Where a view is taken from."""

    axes: Float64[ndarray, "3 3"]  # right, up and backward, as rows
    position: Float64[ndarray, " 3"]  # along the axes
    half: float  # of the frame's side, at distance 1


def draw(
    mesh: Mesh, views: Sequence[int], *, size: int, style: Style = NEW_12X
) -> UInt8[ndarray, "views size size"]:
    """Draw views of a mesh, whose z points up, in shades of gray.

    View v is v / 12 of a turn away from the front.

    Raises:
        UserError: If the mesh has no extent.
    """
    used = np.bincount(mesh.triangles.ravel(), minlength=len(mesh.vertices)) > 0
    seen = _scaled(mesh.vertices[used])
    triangles = (np.cumsum(used) - 1)[mesh.triangles]
    solid = trimesh.Trimesh(seen, triangles, process=False)
    side = SAMPLES * size
    drawn = np.empty((len(views), size, size), np.uint8)
    for image, view in zip(drawn, views, strict=True):
        camera, points = _look(style, seen, FRONT + view * 360 / STEPS)
        columns, rows, near = _projected(points, camera.half, side)
        if trimesh.ray.has_embree:
            cast = _embree(solid, camera, side)
        else:
            corners = (columns[triangles].T, rows[triangles].T, near[triangles].T)
            cast = first_faces(*corners, side + 1).__getitem__
        box = np.s_[_span(rows, size), _span(columns, size)]
        image[:] = _smoothed(cast, _grays(style, points[triangles]), size, box)
    return drawn


def say_if_slow() -> None:
    """Say it on stderr if meshes are drawn without embree."""
    if not trimesh.ray.has_embree:
        print("embreex is not installed: meshes are drawn with numpy, more slowly", file=sys.stderr)


def _scaled(vertices: Points) -> Points:
    """Move and scale the vertices, so that their largest dimension is 5 and their middle is 0."""
    low, high = vertices.min(0), vertices.max(0)
    with np.errstate(over="ignore", divide="ignore"):
        extent = (high - low).max()
        scale = LARGEST_DIMENSION / extent
    if not 0 < scale < np.inf:
        raise UserError(f"the mesh has the extent {extent:g}, which can not be drawn")
    return (vertices - (low / 2 + high / 2)) * scale


def _look(style: Style, vertices: Points, azimuth: float) -> tuple[Camera, Points]:
    """Look from an azimuth, in degrees, at all of the vertices, and from as near as can be.

    Returned are the camera, and the vertices along its axes as seen from it.
    """
    axes = _axes(math.radians(azimuth), math.radians(style.elevation))
    half = math.tan(math.radians(style.field_of_view / 2))
    along = _combined(vertices, axes.T)
    position = _fit(along, style.fill * half)
    return Camera(axes, position, half), along - position


def _axes(azimuth: float, elevation: float) -> Float64[ndarray, "3 3"]:
    """Right, up and backward of a camera that looks at the origin, as rows; angles in radians."""
    sin, cos, rise, run = (f(angle) for angle in (azimuth, elevation) for f in (math.sin, math.cos))
    axes = np.array([[-sin, cos, 0], [-rise * cos, -rise * sin, run], [run * cos, run * sin, rise]])
    return axes.round(12)  # processors differ in the last digit of a sine


def _combined(weights: Points, vectors: Float64[ndarray, "3 3"]) -> Points:
    """The product of two matrices, which BLAS would round as the processor has it."""
    x, y, z = weights.T
    return np.stack([x * a + y * b + z * c for a, b, c in vectors.T], axis=1)


def _fit(along: Points, half: float) -> Float64[ndarray, " 3"]:
    """Come as near as all points stay in the frame.

    A point (x, y, z) is in the frame of a camera at (a, b, c) if |x - a| <= half * (c - z), and so
    for y and b. Each of the four sides of the frame touches one point at best; the nearest c is where
    two opposite sides touch, and the other two are set symmetrically. All are along the camera's axes.
    """
    x, y, z = along.T
    sides = np.stack([x, -x, y, -y]) + half * z
    right, left, top, bottom = sides.max(axis=1)
    c = max(right + left, top + bottom) / (2 * half)
    return np.array([(right - left) / 2, (top - bottom) / 2, c])


def _projected(points: Points, half: float, side: int) -> tuple[ndarray, ndarray, ndarray]:
    """Columns and rows of points on the grid of rays, and the inverse of their distance."""
    x, y, z = points.T
    near = 1 / np.maximum(-z, 1e-9)  # one point at most is where the camera is
    return ((1 + x * near / half) * side - 1) / 2, ((1 - y * near / half) * side - 1) / 2, near


def _span(places: Float64[ndarray, " n"], size: int) -> slice:
    """The pixels from the first to the last place on the grid of rays."""
    first, last = (int(place // SAMPLES) for place in (places.min(), places.max()))
    return slice(max(first, 0), min(last, size) + 1)


def _grays(style: Style, corners: Float64[ndarray, "m corner=3 3"]) -> UInt8[ndarray, " m+1"]:
    """The gray of every face that is lit from both sides, by Lambert's law; the background's last.

    The corners of the faces are along the camera's axes, as seen from it.
    """
    first, second, third = corners[:, 0], corners[:, 1], corners[:, 2]
    x, y, z = np.cross(second - first, third - first).T
    away = first[:, 0] * x + first[:, 1] * y + first[:, 2] * z > 0
    length = np.sqrt(x * x + y * y + z * z)
    above = math.radians(style.sun - style.elevation)
    light = (math.sin(above) * y + math.cos(above) * z) * np.where(away, -1, 1)
    light = np.divide(light, length, out=np.zeros_like(length), where=length > 0)
    gray = style.ambient + style.diffuse * np.maximum(light, 0)
    return np.rint(255 * np.append(gray, style.background)).astype(np.uint8)


def _smoothed(
    cast: Cast, grays: UInt8[ndarray, " m+1"], size: int, box: tuple[slice, slice]
) -> UInt8[ndarray, "size size"]:
    """Draw with one ray a pixel, and with SAMPLES x SAMPLES where those around it differ.

    All rays of a pixel lie between its first and the first ones to the right and below. Where these
    four meet the same gray, so will the others. Outside the box there is nothing to meet.
    """
    first = np.full((size + 1, size + 1), grays[-1])
    first[box] = grays[cast(tuple(SAMPLES * np.mgrid[box]))]
    around = np.stack([first[i : i + size, j : j + size] for i in (0, 1) for j in (0, 1)])
    fine, uneven = _enlarged(around[0]), _enlarged(np.ptp(around, axis=0) > EDGE)
    uneven[::SAMPLES, ::SAMPLES] = False  # known
    places = np.nonzero(uneven)
    fine[places] = grays[cast(places)]
    parts = [fine[i::SAMPLES, j::SAMPLES] for i in range(SAMPLES) for j in range(SAMPLES)]
    return (np.stack(parts).sum(0, np.uint16) // SAMPLES**2).astype(np.uint8)


def _enlarged(image: ndarray) -> ndarray:
    return image.repeat(SAMPLES, axis=0).repeat(SAMPLES, axis=1)


def _embree(solid: trimesh.Trimesh, camera: Camera, side: int) -> Cast:
    """Find the first face that each ray meets."""
    origin = _combined(camera.position[None], camera.axes)
    frame = camera.axes * [[camera.half], [camera.half], [-1]]  # to its right, to its top, ahead

    def cast(places: tuple[Places, ...]) -> Places:
        rows, columns = places
        right, down = ((2 * k.ravel() + 1) / side - 1 for k in (columns, rows))
        ways = np.stack([right * a - down * b + c for a, b, c in frame.T], axis=1)
        met = solid.ray.intersects_first(np.broadcast_to(origin, ways.shape), ways)
        return met.reshape(rows.shape)

    return cast
