"""Files of images: what they hold, or why they can not be used."""

import warnings
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from equimodal.study.errors import UserError

if TYPE_CHECKING:
    from PIL import Image


def decode(content: bytes, where: str, *, opaque: bool = False) -> "Image.Image":
    """Decode an image: red, green and blue of 8 bits, as it looks. Transparency does not count, or is refused.

    Raises:
        UserError: If it is empty, damaged, of absurd size, has several frames, more than 8 bits a channel, whose
            white nobody knows, or is not `opaque` where it has to be; says `where` it lies.
    """
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings(action="error", category=Image.DecompressionBombWarning):
            image: Any = Image.open(BytesIO(content))
            frames = getattr(image, "n_frames", 1) > 1 and image.format != "MPO"  # photo, preview
            deep = ";16" in str(image.tile) or image.mode[0] in "IF"
            image = ImageOps.exif_transpose(image)
    except Exception:  # noqa: BLE001  Pillow raises nearly anything on damaged bytes
        raise UserError(f"{where} is no image, damaged or of absurd size; replace it") from None
    if frames:
        raise UserError(f"{where} has several frames or pages; save the one that counts")
    if deep:
        raise UserError(
            f"{where} has more than 8 bits a channel, and nothing says which value is white; save it with 8 bits, or"
            " all images of a modality of your own as one array, which keeps their values"
        )
    if (
        opaque
        and image.has_transparency_data
        and np.asarray(image.convert("RGBA"))[..., 3].min() < 255
    ):
        raise UserError(
            f"{where} is transparent in places, and nothing says what is behind it; put it onto a background,"
            " such as by `magick mogrify -background white -alpha remove`"
        )
    converted: Image.Image = image.convert("RGB")
    return converted


def resized(
    image: "Image.Image", height: int, width: int
) -> UInt8[ndarray, "height width channels"]:
    """Average an image over the pixels asked for, whatever its proportions."""
    from PIL import Image

    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BOX)
    return np.asarray(image).reshape(height, width, -1)
