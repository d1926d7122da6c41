"""Views of a mesh: what a camera sees that walks around it in twelve steps.

ModelNet40's renderings exist in two styles, `new_12x`, which the paper uses, and the older `v1`. The
cameras are as measured on the published images and read from their authors' scene file
(docs/data.md).

VTK draws, without a display and on a processor if there is no graphics card. The same mesh gives the
same bytes on the same machine; another driver may round a gray level differently.
"""

import ctypes.util
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import vtkmodules.vtkRenderingOpenGL2  # noqa: F401  without it VTK draws nothing and says nothing
from jaxtyping import Float64, Int64, UInt8
from numpy import ndarray
from vtkmodules.util.numpy_support import numpy_to_vtk, numpy_to_vtkIdTypeArray, vtk_to_numpy
from vtkmodules.vtkCommonCore import vtkLogger, vtkPoints, vtkUnsignedCharArray
from vtkmodules.vtkCommonDataModel import vtkCellArray, vtkPolyData
from vtkmodules.vtkRenderingCore import (
    vtkActor,
    vtkPolyDataMapper,
    vtkRenderer,
    vtkRenderWindow,
)

from equimodal.data.off import Mesh
from equimodal.errors import UserError

STEPS = 12  # views of a whole turn
FRONT = 270.0  # degrees, the azimuth of view 0: the camera on -y looks along y
LARGEST_DIMENSION = 5.0  # of the object as it is drawn
SAMPLES = 2  # a pixel is the mean of SAMPLES x SAMPLES

# Lambert's law for faces that are lit from both sides, in the camera's right, up and back. VTK's own
# shader, made for any material and light, takes twice the time without a graphics card.
SHADER = """//VTK::System::Dec
//VTK::Output::Dec
in vec4 vertexVCVSOutput;
void main() {{
  vec3 place = vertexVCVSOutput.xyz;
  vec3 normal = normalize(cross(dFdx(place), dFdy(place)));
  normal = faceforward(normal, place, normal);
  float light = max(dot(normal, vec3(0.0, {up:.6f}, {back:.6f})), 0.0);
  gl_FragData[0] = vec4(vec3({ambient:.6f} + {diffuse:.6f} * light), 1.0);
}}
"""

StyleName = Literal["new_12x", "v1"]


@dataclass(frozen=True)
class Style:
    """How a set of renderings looks. The camera is refitted for every view."""

    elevation: float  # of the camera, degrees above the horizon
    field_of_view: float  # degrees, of the whole frame
    fill: float  # share of the frame's side that the object fills
    background: float  # gray, from 0 (black) to 1
    sun: float  # elevation of the only light, degrees; its azimuth is the camera's
    diffuse: float  # gray of a face turned to the sun, less `ambient`
    ambient: float  # gray of a face turned away


# ASSUME: new_12x. View 0 stands where it was measured for v1; the sun stands right behind the
# camera; the material is Blender's plain one, an even gray of 0.8, here without gloss.
# ASSUME: v1. The field of view fits 36 silhouettes to 0.1 pixel once each is centered and scaled, but
# the rule of its scale is not known: 0.9 is the largest share seen. Light read off the same images.
STYLES: dict[StyleName, Style] = {
    "new_12x": Style(31.06, 49.1, fill=1.0, background=0.0, sun=31.06, diffuse=0.8, ambient=0.0),
    "v1": Style(30.0, 11.5, fill=0.9, background=1.0, sun=69.0, diffuse=0.5, ambient=0.23),
}


class Renderer:
    """Draws meshes in one style and size; one window serves for all of them."""

    def __init__(self, style: StyleName, size: int) -> None:
        """Open the window.

        Args:
            style: How it looks.
            size: Height and width of a view in pixels.

        Raises:
            UserError: If no driver is installed that draws.
        """
        self.style = STYLES[style]
        self.size = size
        self._window = _open_window(SAMPLES * size)
        self._mapper = vtkPolyDataMapper()
        self._scene = _scene(self.style, self._mapper)
        self._window.AddRenderer(self._scene)
        self._pixels = vtkUnsignedCharArray()

    def draw(self, mesh: Mesh, views: Sequence[int]) -> UInt8[ndarray, "views size size"]:
        """Draw views of a mesh in shades of gray.

        Args:
            mesh: Its z points up.
            views: Numbers from 0 on; view v is v / 12 of a turn away from the front.

        Raises:
            UserError: If the mesh has no extent.
        """
        used = np.bincount(mesh.triangles.ravel(), minlength=len(mesh.vertices)) > 0
        seen = _scaled(mesh.vertices[used])
        vertices = np.zeros_like(mesh.vertices)
        vertices[used] = seen
        self._mapper.SetInputData(_as_vtk(vertices, mesh.triangles))
        drawn = np.empty((len(views), self.size, self.size), np.uint8)
        for image, view in zip(drawn, views, strict=True):
            self._place_camera(seen, FRONT + view * 360 / STEPS)
            self._window.Render()
            image[:] = self._read()
        return drawn

    def _place_camera(self, vertices: Float64[ndarray, "n 3"], azimuth: float) -> None:
        """Look from an azimuth given in degrees at all of the vertices, and from as near as can be."""
        axes = _axes(np.radians(azimuth), np.radians(self.style.elevation))
        half = self.style.fill * np.tan(np.radians(self.style.field_of_view / 2))
        position, distances = _fit(vertices @ axes.T, half)
        camera = self._scene.GetActiveCamera()
        camera.SetPosition(*(position @ axes))
        camera.SetFocalPoint(*((position - [0, 0, 1]) @ axes))
        camera.SetViewUp(0, 0, 1)
        near, far = distances.min(), distances.max()
        margin = 0.01 * LARGEST_DIMENSION
        camera.SetClippingRange(max(near - margin, 0.001 * far), far + margin)

    def _read(self) -> UInt8[ndarray, "size size"]:
        side = SAMPLES * self.size
        self._window.GetPixelData(0, 0, side - 1, side - 1, True, self._pixels, 0)
        gray = vtk_to_numpy(self._pixels).reshape(side, side, 3)[::-1, :, 0]
        total = np.zeros((self.size, self.size), np.uint16)
        for i in range(SAMPLES):
            for j in range(SAMPLES):
                total += gray[i::SAMPLES, j::SAMPLES]
        return (total // SAMPLES**2).astype(np.uint8)


def _scaled(vertices: Float64[ndarray, "n 3"]) -> Float64[ndarray, "n 3"]:
    """Move and scale the vertices, so that their largest dimension is 5 and their middle is 0."""
    low, high = vertices.min(0), vertices.max(0)
    with np.errstate(over="ignore", divide="ignore"):
        extent = (high - low).max()
        scale = LARGEST_DIMENSION / extent
    if not 0 < scale < np.inf:
        raise UserError(f"the mesh has the extent {extent:g}, which can not be drawn")
    return (vertices - (low / 2 + high / 2)) * scale


def _axes(azimuth: float, elevation: float) -> Float64[ndarray, "3 3"]:
    """Right, up and backward of a camera that looks at the origin, as rows; angles in radians."""
    sin, cos = np.sin(azimuth), np.cos(azimuth)
    right = np.array([-sin, cos, 0])
    back = np.array([*(np.cos(elevation) * np.array([cos, sin])), np.sin(elevation)])
    return np.stack([right, np.cross(back, right), back])


def _fit(
    along: Float64[ndarray, "n 3"], half: float
) -> tuple[Float64[ndarray, " 3"], Float64[ndarray, " n"]]:
    """Come as near as all points stay in the frame.

    A point (x, y, z) is in the frame of a camera at (a, b, c) if |x - a| <= half * (c - z), and so
    for y and b. Each of the four sides of the frame touches one point at best; the nearest c is where
    two opposite sides touch, and the other two are set symmetrically.

    Args:
        along: Points along the camera's right, up and back.
        half: Half the frame's side at distance 1.

    Returns:
        Where the camera is, along the same axes, and how far off the points are.
    """
    x, y, z = along.T
    sides = np.stack([x, -x, y, -y]) + half * z
    right, left, top, bottom = sides.max(axis=1)
    c = max(right + left, top + bottom) / (2 * half)
    return np.array([(right - left) / 2, (top - bottom) / 2, c]), c - z


def _scene(style: Style, mapper: vtkPolyDataMapper) -> vtkRenderer:
    above = np.radians(style.sun - style.elevation)
    light = {"up": np.sin(above), "back": np.cos(above)}
    actor = vtkActor()
    actor.SetMapper(mapper)
    actor.GetShaderProperty().SetFragmentShaderCode(
        SHADER.format(ambient=style.ambient, diffuse=style.diffuse, **light)
    )
    scene = vtkRenderer()
    scene.SetBackground(*[style.background] * 3)
    scene.GetActiveCamera().SetViewAngle(style.field_of_view)
    scene.AddActor(actor)
    return scene


def _as_vtk(vertices: Float64[ndarray, "n 3"], triangles: Int64[ndarray, "m 3"]) -> vtkPolyData:
    points = vtkPoints()
    points.SetData(numpy_to_vtk(vertices.astype(np.float32), deep=True))
    faces = vtkCellArray()
    faces.SetData(3, numpy_to_vtkIdTypeArray(np.ravel(triangles), deep=True))
    surface = vtkPolyData()
    surface.SetPoints(points)
    surface.SetPolys(faces)
    return surface


def _open_window(side: int) -> vtkRenderWindow:
    """Open a window that is never shown."""
    with _without_display():
        window = vtkRenderWindow()
    # Where there is no driver, VTK gives this kind and dies when it draws.
    if window.GetClassName() == "vtkOSOpenGLRenderWindow" and not ctypes.util.find_library(
        "OSMesa"
    ):
        raise UserError(
            "meshes can not be drawn: there is no EGL driver; install Mesa's, which needs no display"
            " and no graphics card (Debian and Ubuntu: apt install libegl1 libgl1-mesa-dri)"
        )
    window.SetOffScreenRendering(True)
    window.SetMultiSamples(0)
    window.SetSize(side, side)
    return window


@contextmanager
def _without_display() -> Iterator[None]:
    """Keep VTK from looking for a display, so that the same driver draws with and without one.

    VTK warns that it found none; nobody needs to read that.
    """
    display = os.environ.pop("DISPLAY", None)
    verbosity = vtkLogger.GetCurrentVerbosityCutoff()
    vtkLogger.SetStderrVerbosity(vtkLogger.VERBOSITY_OFF)
    try:
        yield
    finally:
        vtkLogger.SetStderrVerbosity(verbosity)
        if display is not None:
            os.environ["DISPLAY"] = display
