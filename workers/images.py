"""Image bytes to pixels, under limits: the bytes are somebody else's."""

import time
from collections.abc import Callable, Sequence
from io import BytesIO

import numpy as np
import numpy.typing as npt
from PIL import Image

from workers.image_structure import TooManyParts, check_structure

LARGEST_FILE = 16 * 1024 * 1024
# Of this thread's processor time: an image of the largest size takes a second or two.
LONGEST_DECODING = 20.0
BEAT_EVERY = 1.0
LARGEST_SIDE = 4096
FORMATS = ("PNG", "JPEG")
CHANNELS = {"L": 1, "RGB": 3}

Pixels = npt.NDArray[np.uint8]


class BadImage(ValueError):
    """`str()` says what is wrong and never what the image holds."""


class Decoder:
    """Decodes the images of one manifest, in about `seconds` of processor time at most, and calls
    `beat` every second or so as long as it gets on.

    Each image has its own limit; this one is for a million rows that each stay just below it.
    """

    def __init__(self, seconds: float, beat: Callable[[], None]) -> None:
        self._seconds = self._left = seconds
        self._beat, self._beaten_at = beat, time.monotonic()

    def decode(self, content: bytes, expected: Sequence[int] | None) -> Pixels:
        """As the function below."""
        if self._left <= 0:
            raise BadImage(
                f"comes after images that took {self._seconds:.0f} seconds to decode, the most for "
                "a file of this size"
            )
        began = time.thread_time()
        pixels = decode(content, expected)
        self._left -= time.thread_time() - began
        if time.monotonic() - self._beaten_at >= BEAT_EVERY:
            self._beat()
            self._beaten_at = time.monotonic()
        return pixels


def decode(content: bytes, expected: Sequence[int] | None) -> Pixels:
    """(channels, height, width) uint8 of a greyscale or RGB image; BadImage if it cannot be had.

    `expected` is the shape of the images before, checked before a pixel is decoded.
    """
    if len(content) > LARGEST_FILE:
        raise BadImage(f"is larger than {LARGEST_FILE} bytes")
    try:
        check_structure(content)
        file = _Timed(content)
        with Image.open(file, formats=FORMATS) as image:
            shape = _shape(image)
            if expected is not None and shape != tuple(expected):
                raise BadImage(
                    f"is {_described(shape)}, where the first image is {_described(expected)}"
                )
            pixels = np.asarray(image, dtype=np.uint8)
        file.check()  # as well where the whole file was read at once
    except BadImage:
        raise
    except TooManyParts as error:
        raise BadImage(str(error)) from None
    except Exception:
        # Pillow's readers raise whatever a damaged file makes them meet: OSError, SyntaxError,
        # struct.error, ValueError, DecompressionBombError and more.
        raise BadImage(f"cannot be decoded as {' or '.join(FORMATS)}") from None
    planes = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    return np.ascontiguousarray(planes)


class _Timed(BytesIO):
    """Decoders come back for every few kilobytes, and are then asked how long they have taken."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self._until = time.thread_time() + LONGEST_DECODING

    def read(self, size: int | None = -1, /) -> bytes:
        self.check()
        return super().read(size)

    def check(self) -> None:
        if time.thread_time() > self._until:
            raise BadImage(f"takes longer than {LONGEST_DECODING:.0f} seconds to decode")


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
