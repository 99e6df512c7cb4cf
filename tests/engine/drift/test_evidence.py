"""The picture that goes with a raised drift."""

from __future__ import annotations

import base64

import cv2
import numpy as np
import pytest

from engine.drift.evidence import then_and_now
from engine.picture import Pixels


def jpeg(level: int, size_wh: tuple[int, int] = (32, 18)) -> bytes:
    return cv2.imencode(".jpg", np.full((size_wh[1], size_wh[0], 3), level, np.uint8))[1].tobytes()


def picture(uri: str | None) -> Pixels:
    assert uri is not None
    kind, _, data = uri.partition(",")
    assert kind == "data:image/jpeg;base64"
    return np.asarray(cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR))


def test_then_is_on_the_left_and_now_on_the_right() -> None:
    found = picture(then_and_now(jpeg(200), jpeg(40)))
    assert found.shape[0] == 18
    assert found[:, :28].mean() == pytest.approx(200, abs=3)
    assert found[:, -28:].mean() == pytest.approx(40, abs=3)
    gap = found.shape[1] - 64
    assert gap > 0
    assert found[:, 32 : 32 + gap].mean() > 230


def test_pictures_of_two_sizes_get_one_height() -> None:
    found = picture(then_and_now(jpeg(200), jpeg(40, (64, 72))))
    assert found.shape[0] == 18
    assert found[:, -14:].mean() == pytest.approx(40, abs=3)


def test_one_alone_is_shown_alone() -> None:
    assert picture(then_and_now(None, jpeg(40))).shape == (18, 32, 3)
    assert picture(then_and_now(jpeg(200), None)).mean() == pytest.approx(200, abs=3)


def test_without_pictures_there_is_none() -> None:
    assert then_and_now(None, None) is None
