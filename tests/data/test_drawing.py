import numpy as np
import pytest

from .conftest import collect_ignore

LEFT_OUT = f"no EGL driver (Debian: apt install libegl1 libgl1-mesa-dri): {collect_ignore} left out"


@pytest.mark.skipif(bool(collect_ignore), reason=LEFT_OUT)
def test_a_triangle_is_drawn_here_lighter_than_what_is_behind_it():
    from equimodal.data.off import Mesh
    from equimodal.data.render import Renderer

    corners = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 1]])
    (image,) = Renderer("new_12x", 16).draw(Mesh(corners, np.array([[0, 1, 2]])), [0])
    assert (image.min(), image.max() > 50) == (0, True)
    assert 0.1 < (image > 0).mean() < 0.9
