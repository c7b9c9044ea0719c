"""How many parts an image file has, counted in its bytes: each costs a decoder time, and a file can
have a million of them without a pixel more."""

import re

# A progressive JPEG has about ten. Each is a pass over the whole image, however few bytes it has.
MOST_SCANS = 100
# JPEG's segments and PNG's chunks. Notes and colour profiles come in parts of 64 KiB, and PNG's
# pixels in parts that some programs make as small as this.
MOST_PARTS = 1_000
SMALLEST_USUAL_PART = 1_024

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8"
# What a JPEG decoder takes for a marker, in coded pixels too: neither stuffing nor a restart.
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_FIRST_WITH_LENGTH = 0xC0
_START, _END, _SCAN = 0xD8, 0xD9, 0xDA


class TooManyParts(ValueError):
    """`str()` says of what."""


def check_structure(content: bytes) -> None:
    """Raises TooManyParts. What is neither PNG nor JPEG, or damaged, is for the decoder to refuse:
    the count is that of the parts which it would meet."""
    if content.startswith(_PNG):
        _check_png(content)
    elif content.startswith(_JPEG):
        _check_jpeg(content)


def _check_png(content: bytes) -> None:
    most = MOST_PARTS + len(content) // SMALLEST_USUAL_PART
    place, chunks = len(_PNG), 0
    while place + 8 <= len(content):
        chunks += 1
        if chunks > most:
            raise TooManyParts(f"has more than {most} chunks")
        if content[place + 4 : place + 8] == b"IEND":
            return
        place += 12 + int.from_bytes(content[place : place + 4], "big")


def _check_jpeg(content: bytes) -> None:
    place, segments, scans = len(_JPEG), 0, 0
    while (found := _MARKER.search(content, place)) is not None:
        place, marker = found.end(), content[found.end() - 1]
        if marker == _END and scans:  # before the first scan a decoder goes on after it
            return
        segments += 1
        scans += marker == _SCAN
        if scans > MOST_SCANS:
            raise TooManyParts(f"has more than {MOST_SCANS} scans")
        if segments > MOST_PARTS:
            raise TooManyParts(f"has more than {MOST_PARTS} segments")
        if marker >= _FIRST_WITH_LENGTH and marker not in (_START, _END):
            place += int.from_bytes(content[place : place + 2], "big")
