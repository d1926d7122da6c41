"""Triangles on a grid: which of them is the nearest at each place."""

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray

BLOCK = 2**20  # places of the grid that are looked at together, which bounds the memory


Corners = Float64[ndarray, "corner=3 m"]  # of triangles


def first_faces(x: Corners, y: Corners, near: Corners, side: int) -> Int64[ndarray, "side side"]:
    """Return the nearest triangle at each place of a square grid, -1 where there is none.

    `x` and `y` are columns and rows of the corners, which need not be whole; `near` is the inverse of
    their distance, which is linear over the image, as the distance is not.
    """
    order = np.argsort(y, axis=0)
    x, y, near = (np.take_along_axis(a, order, axis=0) for a in (x, y, near))  # from top to bottom
    dx, dy, dn = (a[[1, 2, 2]] - a[[0, 1, 0]] for a in (x, y, near))  # upper, lower, long edge
    with np.errstate(all="ignore"):  # what is not finite is left out
        area = dx[0] * dy[1] - dx[1] * dy[0]
        by_x = (dn[0] * dy[1] - dn[1] * dy[0]) / area
        by_y = (dx[0] * dn[1] - dx[1] * dn[0]) / area
        slope = np.where(dy > 0, dx / dy, 0)  # columns a row
    across = x[0] + slope[2] * dy[0]  # where the long edge passes the middle corner
    seen = np.flatnonzero(np.isfinite(area) & (area != 0))
    top, bottom = _inside(y[0, seen], y[2, seen], side)
    left, right = _inside(x[:, seen].min(0), x[:, seen].max(0), side)
    nearest, faces = np.full(side * side, -np.inf), np.full(side * side, -1)
    places = np.cumsum((bottom - top + 1) * (right - left + 1))
    for block in np.split(np.arange(len(seen)), np.flatnonzero(np.diff(places // BLOCK)) + 1):
        face, row = _spread(top[block], bottom[block], seen[block])
        down = row - y[1, face]
        long = across[face] + down * slope[2, face]
        short = x[1, face] + down * slope[(down > 0).astype(int), face]
        first, last = _inside(np.minimum(long, short), np.maximum(long, short), side)
        height = near[1, face] + by_y[face] * down - by_x[face] * x[1, face]
        height, by_column, place, face, column = _spread(
            first, last, height, by_x[face], row * side, face
        )
        height += by_column * column
        place += column
        np.maximum.at(nearest, place, height)
        won = height == nearest[place]
        faces[place[won]] = face[won]
    return faces.reshape(side, side)


def _inside(low: ndarray, high: ndarray, side: int) -> tuple[ndarray, ndarray]:
    """First and last whole number from `low` to `high` that is a place; last < first for none."""
    first = np.clip(np.ceil(low), 0, side).astype(np.int64)
    last = np.clip(np.floor(high), -1, side - 1).astype(np.int64)
    return first, np.maximum(last, first - 1)


def _spread(first: ndarray, last: ndarray, *values: ndarray) -> list[ndarray]:
    """The values of n ranges for each whole number in them, and these numbers."""
    count = last - first + 1
    begin = np.cumsum(count) - count
    number = np.arange(count.sum()) - np.repeat(begin - first, count)
    return [*(np.repeat(value, count) for value in values), number]
