"""A tiny model, pictures of what it sees, and backends that see something else, for tests of engines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray

from engine.bundle import Bundle, Manifest, write_bundle
from engine.inference import BackendOptions, Signature
from engine.input_spec import InputSpec
from engine.load import load_class
from engine.picture import Pixels
from tests.tiny_models import save_yolox, squares
from training.dataset import Dataset, Sample
from training.formats import write_dataset

LABELS = ("blue", "red")
SIZE_WH = (128, 128)
# One cell of eight pixels is an object of 32.
HALF = 16
SCENES = (
    ((4, 4, "blue"), (11, 4, "red")),
    ((4, 11, "blue"),),
    ((11, 11, "red"), (4, 3, "blue")),
    ((7, 7, "red"),),
)
"""Cells (column, row, colour) of each picture: six objects, three of each class."""

Outputs = list[NDArray[Any]]
Change = Callable[[Outputs, Pixels], Outputs]


def square_bundle(folder: Path, batch: int | None = None, gain: float | None = None) -> Bundle:
    """Make a bundle of a model that sees a box of 32 pixels around each cell that is blue or red.

    Args:
        folder: its place.
        batch: the only one that it takes.
        gain: pictures are multiplied by this first, and divided by it.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    path = save_yolox(folder.parent / "squares.onnx", size_wh=SIZE_WH, box_cells=4.0, batch=batch)
    if gain is not None:
        _add_gain(path, gain)
    manifest = Manifest(name="squares", family="yolox", labels=LABELS, input=InputSpec(size_wh=SIZE_WH), files={})
    return write_bundle(folder, manifest, {"onnx": path})


def _add_gain(path: Path, gain: float) -> None:
    """Put two convolutions in front of a model that undo one another."""
    model = onnx.load(str(path))
    graph = model.graph
    for node in graph.node:
        node.input[:] = ["quiet" if name == "images" else name for name in node.input]
    for name, value in (("up", gain), ("down", 1 / gain)):
        weight = (value * np.eye(3, dtype=np.float32)).reshape(3, 3, 1, 1).astype(np.float32)
        graph.initializer.append(onnx.numpy_helper.from_array(weight, name))
    graph.node.insert(0, onnx.helper.make_node("Conv", ["loud", "down"], ["quiet"]))
    graph.node.insert(0, onnx.helper.make_node("Conv", ["images", "up"], ["loud"]))
    onnx.save_model(model, str(path))


def write_pictures(folder: Path, scenes: Sequence[Sequence[tuple[int, int, str]]] = SCENES, zoom: int = 1) -> Path:
    """Write scenes as PNG files, magnified."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, cells in enumerate(scenes, 1):
        bgr = squares(*cells, size_wh=SIZE_WH).repeat(zoom, axis=0).repeat(zoom, axis=1)
        assert cv2.imwrite(str(folder / f"{number:06}.png"), bgr)
    return folder


def labelled(folder: Path) -> Path:
    """Write the scenes as a COCO data set whose labels are the boxes that the model sees."""
    pictures = write_pictures(folder / "pictures")
    samples = []
    for path, cells in zip(sorted(pictures.iterdir()), SCENES, strict=True):
        centres = np.array([(8 * x + 4, 8 * y + 4) for x, y, _ in cells], np.float32)
        samples.append(
            Sample(
                path=path,
                size_wh=SIZE_WH,
                xyxy=np.concatenate([centres - HALF, centres + HALF], axis=1),
                class_id=np.array([LABELS.index(color) for *_, color in cells], np.intp),
                ignore=np.zeros(len(cells), bool),
            )
        )
    write_dataset(Dataset(LABELS, tuple(samples)), folder / "data", "coco")
    return folder / "data"


class OtherBackend:
    """ONNX Runtime with something done to its outputs; stands for an engine on its GPU."""

    name = "tensorrt"
    device = "cuda:0 (NVIDIA Test)"
    precision = "fp16"
    max_batch = 16
    fixed_batch: int | None = None

    def __init__(self, change: Change = lambda outputs, pixels: outputs) -> None:
        self._change = change
        self._runtime = load_class("inference_onnxruntime")(BackendOptions("cpu"))
        self.sizes: list[int] = []

    def inspect(self, path: Path) -> Signature:
        raise AssertionError(path)

    def open(self, bundle: Bundle) -> None:
        self._runtime.open(bundle)

    def infer(self, tensor: Pixels) -> Outputs:
        self.sizes.append(len(tensor))
        return self._change([output.copy() for output in self._runtime.infer(tensor)], tensor)

    def close(self) -> None:
        self._runtime.close()


def strides() -> NDArray[np.float32]:
    """The stride of every cell of the model's output."""
    counts = [(SIZE_WH[0] // s) * (SIZE_WH[1] // s) for s in (8, 16, 32)]
    return np.repeat(np.array([8, 16, 32], np.float32), counts)


def shifted(pixels: float) -> Change:
    """Boxes lie so many pixels of the model's input to the right."""

    def change(outputs: Outputs, tensor: Pixels) -> Outputs:
        outputs[0][:, :, 0] += pixels / strides()
        return outputs

    return change


def unsure(by: float) -> Change:
    """Sure boxes have a confidence lower by so much."""

    def change(outputs: Outputs, tensor: Pixels) -> Outputs:
        sure = outputs[0][:, :, 4] > 0.5
        outputs[0][:, :, 4][sure] -= by
        return outputs

    return change


def blind_to(color: str, cell: tuple[int, int]) -> Change:
    """A cell is never an object of a class."""

    def change(outputs: Outputs, tensor: Pixels) -> Outputs:
        anchor = cell[1] * (SIZE_WH[0] // 8) + cell[0]
        outputs[0][:, anchor, 5 + LABELS.index(color)] = 0
        return outputs

    return change


def dreaming(cell: tuple[int, int]) -> Change:
    """A cell is always a blue object."""

    def change(outputs: Outputs, tensor: Pixels) -> Outputs:
        anchor = cell[1] * (SIZE_WH[0] // 8) + cell[0]
        outputs[0][:, anchor, 4:] = (1, 1, 0)
        return outputs

    return change


def not_a_number(outputs: Outputs, tensor: Pixels) -> Outputs:
    """What went beyond the range of fp16."""
    outputs[0][:, 3, 2] = np.inf
    return outputs


def first_of_batch(outputs: Outputs, tensor: Pixels) -> Outputs:
    """Every picture of a batch is taken for the first, as where a batch of one is written into the model."""
    return [np.repeat(output[:1], len(output), axis=0) for output in outputs]
