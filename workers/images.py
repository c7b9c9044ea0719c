"""Image bytes to pixels, under limits: the bytes are somebody else's."""

from collections.abc import Sequence
from io import BytesIO

import numpy as np
import numpy.typing as npt
from PIL import Image

LARGEST_FILE = 16 * 1024 * 1024
LARGEST_SIDE = 4096
FORMATS = ("PNG", "JPEG")
CHANNELS = {"L": 1, "RGB": 3}

Pixels = npt.NDArray[np.uint8]


class BadImage(ValueError):
    """`str()` says what is wrong and never what the image holds."""


def decode(content: bytes, expected: Sequence[int] | None) -> Pixels:
    """(channels, height, width) uint8 of a greyscale or RGB image.

    `expected` is the shape of the images before, checked before a pixel is decoded.
    """
    if len(content) > LARGEST_FILE:
        raise BadImage(f"is larger than {LARGEST_FILE} bytes")
    try:
        with Image.open(BytesIO(content), formats=FORMATS) as image:
            shape = _shape(image)
            if expected is not None and shape != tuple(expected):
                raise BadImage(
                    f"is {_described(shape)}, where the first image is {_described(expected)}"
                )
            pixels = np.asarray(image, dtype=np.uint8)
    except BadImage:
        raise
    except Exception:
        # Pillow's readers raise whatever a damaged file makes them meet: OSError, SyntaxError,
        # struct.error, ValueError, DecompressionBombError and more.
        raise BadImage(f"cannot be decoded as {' or '.join(FORMATS)}") from None
    planes = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    return np.ascontiguousarray(planes)


def _shape(image: Image.Image) -> tuple[int, int, int]:
    width, height = image.size
    if max(width, height) > LARGEST_SIDE:
        raise BadImage(f"is larger than {LARGEST_SIDE} pixels a side")
    if image.mode not in CHANNELS:
        raise BadImage("is neither 8-bit greyscale nor RGB")
    return CHANNELS[image.mode], height, width


def _described(shape: Sequence[int]) -> str:
    channels, height, width = shape
    return f"{width}x{height} with {channels} channel{'' if channels == 1 else 's'}"
