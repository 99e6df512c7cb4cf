"""Pictures beside label files: where they are, and how large without decoding them."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from engine.picture import Picture

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")

_PNG = b"\x89PNG\r\n\x1a\n"
_ORIENTATION = 0x0112
_TURNED = (5, 6, 7, 8)
"""Exif orientations that swap width and height; OpenCV applies them when it decodes."""


class ImageFolder:
    """Finds pictures by the names that labels give them.

    Args:
        folders: in the order to look; those that do not exist are passed over.
    """

    def __init__(self, folders: Iterable[Path]) -> None:
        self.folders = [folder for folder in dict.fromkeys(folders) if folder.is_dir()]

    def __str__(self) -> str:
        return " or ".join(map(str, self.folders[:3])) or "any folder beside the labels"

    def find(self, name: str) -> Path | None:
        """Give the file of a name, which may hold folders that are not there any more."""
        plain = name.replace("\\", "/").lstrip("/")
        for tail in dict.fromkeys((plain, plain.rsplit("/", 1)[-1])):
            for folder in self.folders:
                if tail and (folder / tail).is_file():
                    return folder / tail
        return None

    def find_stem(self, stem: str) -> Path | None:
        """Give the file of a name without suffix."""
        return next((found for suffix in SUFFIXES if (found := self.find(stem + suffix))), None)


def list_images(folder: Path) -> list[Path]:
    """List the pictures of a folder and the folders in it, in the order of their names; hidden files are none."""
    found = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    return sorted(path for path in found if not path.name.startswith("."))


def image_size(path: Path) -> tuple[int, int]:
    """Read width and height as they are after decoding; from the header alone where it is JPEG or PNG.

    Raises:
        SourceError: missing, or not an image.
    """
    try:
        with path.open("rb") as file:
            start = file.read(26)
            if start[:8] == _PNG and start[12:16] == b"IHDR":
                width, height = struct.unpack(">II", start[16:24])
                return width, height
            if start[:2] == b"\xff\xd8":
                file.seek(2)
                if found := _jpeg_size(file):
                    return found
    except (OSError, struct.error):
        pass  # What cannot be read here cannot be decoded either, and that says why.
    return Picture.read(path).size_wh


def _jpeg_size(file: BinaryIO) -> tuple[int, int] | None:
    """Walk the segments up to the frame header (ITU-T T.81, B.1.1)."""
    turned = False
    while True:
        marker = file.read(2)
        while marker[1:] == b"\xff":  # fill bytes
            marker = marker[1:] + file.read(1)
        if len(marker) < 2 or marker[0] != 0xFF:
            return None
        (length,) = struct.unpack(">H", file.read(2))
        if 0xC0 <= marker[1] <= 0xCF and marker[1] not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">xHH", file.read(5))
            return ((height, width) if turned else (width, height)) if width and height else None
        if marker[1] == 0xE1:
            turned = turned or _exif_orientation(file.read(length - 2)) in _TURNED
        else:
            file.seek(length - 2, 1)


def _exif_orientation(segment: bytes) -> int:
    """Find the orientation in the first directory of an Exif segment; 1, upright, where it says none."""
    tiff = segment[6:]
    if segment[:6] != b"Exif\0\0" or tiff[:2] not in (b"II", b"MM"):
        return 1
    order = "<" if tiff[:2] == b"II" else ">"
    (directory,) = struct.unpack_from(order + "I", tiff, 4)
    (count,) = struct.unpack_from(order + "H", tiff, directory)
    for entry in range(count):
        tag, _, _, value = struct.unpack_from(order + "HHIH", tiff, directory + 2 + 12 * entry)
        if tag == _ORIENTATION:
            return int(value)
    return 1
