"""The picture that goes with a raised drift: then on the left, now on the right."""

from __future__ import annotations

import base64
from typing import cast

import cv2
import numpy as np

from engine.picture import Pixels

_GAP = 4
_QUALITY = 80


def then_and_now(then: bytes | None, now: bytes | None) -> str | None:
    """Put two JPEGs side by side, as a data URI; one alone where the other is missing, None where both are.

    The later one is scaled to the height of the first.
    """
    pictures = [_decode(jpeg) for jpeg in (then, now) if jpeg is not None]
    if not pictures:
        return None
    height = pictures[0].shape[0]
    gap = np.full((height, _GAP, 3), 255, np.uint8)
    parts = [pictures[0]]
    for picture in pictures[1:]:
        width = max(1, round(picture.shape[1] * height / picture.shape[0]))
        parts += [gap, cast(Pixels, cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA))]
    encoded = cv2.imencode(".jpg", np.hstack(parts), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1]
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode()


def _decode(jpeg: bytes) -> Pixels:
    return cast(Pixels, cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR))
