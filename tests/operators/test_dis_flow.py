from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.detections import Detections
from engine.flow import end_point_error, read_flo, resize_flow
from engine.operator import Operator
from engine.packet import Packet
from engine.picture import Picture
from operators.dis_flow import DisFlow
from operators.farneback_flow import FarnebackFlow
from tests.frames import make_frame

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "flow"


def make_scene(size_wh: tuple[int, int] = (160, 120), seed: int = 3) -> NDArray[np.uint8]:
    """Soft blobs of many sizes: something to follow everywhere."""
    rng = np.random.default_rng(seed)
    scene = np.zeros((size_wh[1] + 40, size_wh[0] + 40))
    for cells in (4, 9, 20):
        coarse = rng.uniform(0, 80, (cells, cells))
        ys = np.linspace(0, cells - 1.001, scene.shape[0])
        xs = np.linspace(0, cells - 1.001, scene.shape[1])
        y, x = np.floor(ys).astype(int), np.floor(xs).astype(int)
        fy, fx = (ys - y)[:, None], (xs - x)[None]
        upper = coarse[y][:, x] * (1 - fx) + coarse[y][:, x + 1] * fx
        lower = coarse[y + 1][:, x] * (1 - fx) + coarse[y + 1][:, x + 1] * fx
        scene += upper * (1 - fy) + lower * fy
    return scene.astype(np.uint8)


def make_packet(index: int, pixels: NDArray[np.uint8], looked: bool = False) -> Packet:
    frame = replace(make_frame(index), picture=Picture((np.ascontiguousarray(pixels),), "gray"))
    return Packet(frame, detections=Detections.empty() if looked else None)


def moved_pair(looked: bool = False) -> list[Packet]:
    """The scene moves 6 pixels to the right and 4 up."""
    scene = make_scene()
    return [make_packet(0, scene[20:140, 20:180]), make_packet(1, scene[24:144, 14:174], looked)]


Maker = Callable[..., Operator]


@pytest.fixture(params=[DisFlow, FarnebackFlow])
def make_flow(request: pytest.FixtureRequest) -> Maker:
    maker: Maker = request.param
    return maker


def run(operator: Operator, packets: list[Packet]) -> list[Packet]:
    operator.open()
    out = [operator.process(packet) for packet in packets]
    operator.close()
    return out


@pytest.mark.parametrize(("scale", "expected"), [(1.0, (6, -4)), (0.5, (3, -2))])
def test_a_scene_that_moves_gives_its_motion(make_flow: Maker, scale: float, expected: tuple[float, float]) -> None:
    first, second = run(make_flow(scale=scale), moved_pair())

    assert first.flow is None
    assert second.flow is not None
    assert second.flow.dtype == np.float32
    assert second.flow.shape == (round(120 * scale), round(160 * scale), 2)
    middle = second.flow[15:-15, 15:-15].reshape(-1, 2)
    assert np.allclose(np.median(middle, axis=0), expected, atol=0.5)


def test_a_frame_that_was_looked_at_needs_no_flow(make_flow: Maker) -> None:
    packets = moved_pair(looked=True)

    assert run(make_flow(), packets)[1] is packets[1]
    assert run(make_flow(always=True), packets)[1].flow is not None


def test_flow_is_from_the_frame_before_even_if_that_one_was_looked_at(make_flow: Maker) -> None:
    scene = make_scene()
    packets = [
        make_packet(0, scene[20:140, 20:180]),
        make_packet(1, scene[20:140, 14:174], looked=True),
        make_packet(2, scene[20:140, 8:168]),
    ]

    flow = run(make_flow(scale=1.0), packets)[2].flow

    assert flow is not None
    assert np.median(flow[15:-15, 15:-15, 0]) == pytest.approx(6, abs=0.5)


def test_a_new_epoch_and_a_new_size_start_without_flow(make_flow: Maker) -> None:
    operator = make_flow()
    first, second = moved_pair()
    operator.open()
    operator.process(first)

    assert operator.flush("camera_gap") == ()
    assert operator.process(second).flow is None
    assert operator.process(make_packet(2, make_scene()[:60, :80])).flow is None


def test_a_tiny_picture_has_flow_too(make_flow: Maker) -> None:
    flow = run(make_flow(), [make_packet(k, make_scene()[:12, :10]) for k in range(2)])[1].flow

    assert flow is not None
    assert flow.shape == (16, 16, 2)


@pytest.mark.parametrize("scale", [0, 1.5])
def test_a_scale_that_cannot_be_meant_is_refused(make_flow: Maker, scale: float) -> None:
    with pytest.raises(ValueError, match=f"scale must be above 0 and at most 1, got {scale}"):
        make_flow(scale=scale)


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(ValueError, match=re.escape("preset must be one of ultrafast, fast, medium, fine, got 'best'")):
        DisFlow(preset="best")  # type: ignore[arg-type]


@pytest.mark.data
@pytest.mark.skipif(not DATA.is_dir(), reason="optional data of ../shared is not here")
@pytest.mark.parametrize(
    ("names", "preset", "scale", "at_most_px"),
    [
        (("rubberwhale/frame10.png", "rubberwhale/frame11.png", "rubberwhale/flow10.flo"), "fine", 1.0, 0.12),
        (("sintel/frame_0001.png", "sintel/frame_0002.png", "sintel/frame_0001.flo"), "fine", 1.0, 0.21),
        (("rubberwhale/frame10.png", "rubberwhale/frame11.png", "rubberwhale/flow10.flo"), "medium", 0.5, 0.5),
        (("sintel/frame_0001.png", "sintel/frame_0002.png", "sintel/frame_0001.flo"), "ultrafast", 0.5, 0.9),
    ],
)
def test_end_point_error_on_real_pictures(
    names: tuple[str, str, str], preset: str, scale: float, at_most_px: float
) -> None:
    pictures = [Picture.read(DATA / name) for name in names[:2]]
    packets = [Packet(replace(make_frame(k), picture=picture)) for k, picture in enumerate(pictures)]

    flow = run(DisFlow(preset=preset, scale=scale), packets)[1].flow  # type: ignore[arg-type]

    assert flow is not None
    assert end_point_error(resize_flow(flow, pictures[0].size_wh), read_flo(DATA / names[2])) < at_most_px
