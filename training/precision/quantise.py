"""int8: ranges measured on pictures, and the layers that are better left in fp32.

With channels evened out (see `training.precision.qdq`), plain largest values do: of five models, means and percentiles
over pictures lost more on most. Without it none of them helps networks of depthwise convolutions: YOLOX-Nano falls from
31.7 to at most 24 points of mAP, PicoDet from 35.2 to 5.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper

from engine.errors import BundleError
from engine.input_spec import InputSpec
from engine.picture import Pixels
from training.precision.network import Layer, find_layers, run_network
from training.precision.qdq import Operand, Peaks, quantise

Progress = Callable[[str, int, int], object]

# Enough to tell the layers that hurt from those that do not; every one costs so many runs.
_NUM_HARM_PICTURES = 4


class Int8:
    """A network that can be written with any of its layers in int8.

    Args:
        path: what it was read from, for messages.
        model: of `read_network`; it is not changed.
        spec: how it wants its pictures.
        pictures: uint8 (3, h, w) each; ranges are measured on them.
        keep_fp32: names of layers that stay in fp32.
        progress: called with a stage, what is done of it, and how much there is.

    Attributes:
        method: how ranges are chosen.

    Raises:
        BundleError: no layer that can be quantised, or numbers that are none.
    """

    method = "channel maxima"

    def __init__(
        self,
        path: Path,
        model: ModelProto,
        spec: InputSpec,
        pictures: Sequence[Pixels],
        keep_fp32: Collection[str],
        progress: Progress,
    ) -> None:
        self.progress = progress
        self._model, self._spec = model, spec
        # Evenly spread; first and last are among them.
        rows = np.linspace(0, len(pictures) - 1, min(len(pictures), _NUM_HARM_PICTURES)).round().astype(int)
        self._few = [pictures[row] for row in rows]
        groups: dict[tuple[str, int], list[Layer]] = {}
        for layer in find_layers(model):
            if layer.name not in keep_fp32:
                groups.setdefault((layer.tensor, layer.channel_axis), []).append(layer)
        self._operands = [Operand(tensor, axis, tuple(layers)) for (tensor, axis), layers in groups.items()]
        if not self._operands:
            raise BundleError(f"{path}: no layer with constant float32 weights is left to quantise; take fp16")
        self._peaks = measure_peaks(model, self._operands, spec, pictures, progress)
        for operand, peak in zip(self._operands, self._peaks, strict=True):
            if not np.isfinite(peak).all():
                raise BundleError(
                    f"{path}: what layer '{operand.layers[0].name}' reads is no number on a calibration picture; the "
                    f"model itself is broken there"
                )

    @property
    def num_operands(self) -> int:
        """How many tensors layers read."""
        return len(self._operands)

    def layers(self, left: Collection[int] = ()) -> frozenset[str]:
        """Give the names of the layers that are int8 where some operands are left in fp32."""
        return frozenset(
            layer.name for i, operand in enumerate(self._operands) if i not in left for layer in operand.layers
        )

    def build(self, left: Collection[int] = ()) -> ModelProto:
        """Give the model in int8, with some operands left in fp32."""
        return self._quantised([i for i in range(len(self._operands)) if i not in left])

    def by_harm(self) -> list[int]:
        """Order operands by what each does to the model's outputs when it alone is quantised, the worst first."""
        exact = list(run_network(self._model, self._spec, self._few))
        harm = []
        for number in range(len(self._operands)):
            alone = run_network(self._quantised([number]), self._spec, self._few)
            harm.append(sum(_difference(a, b) for a, b in zip(exact, alone, strict=True)))
            self.progress("find what hurts", number + 1, len(self._operands))
        return sorted(range(len(harm)), key=lambda i: -harm[i])

    def _quantised(self, chosen: Sequence[int]) -> ModelProto:
        return quantise(self._model, [self._operands[i] for i in chosen], [self._peaks[i] for i in chosen])


def measure_peaks(
    model: ModelProto, operands: Sequence[Operand], spec: InputSpec, pictures: Sequence[Pixels], progress: Progress
) -> list[Peaks]:
    """Give the largest absolute value of every channel of what is read, over all pictures.

    Returns:
        For each operand float32 (channels,).
    """
    watched = ModelProto()
    watched.CopyFrom(model)
    for number, operand in enumerate(operands):
        watched.graph.node.append(helper.make_node("Identity", [operand.tensor], [f"watched#{number}"]))
        watched.graph.output.append(helper.make_tensor_value_info(f"watched#{number}", TensorProto.FLOAT, None))
    peaks: list[Peaks] = []
    for done, outputs in enumerate(run_network(watched, spec, pictures), 1):
        found = [_peak(v, r.channel_axis) for v, r in zip(outputs[-len(operands) :], operands, strict=True)]
        peaks = [np.maximum(a, b) for a, b in zip(peaks, found, strict=True)] if peaks else found
        progress("calibrate", done, len(pictures))
    return peaks


def _peak(values: NDArray[np.float32], channel_axis: int) -> Peaks:
    others = tuple(axis for axis in range(values.ndim) if axis != channel_axis % values.ndim)
    # Twice as fast as the maximum of np.abs, which writes everything once more.
    return np.asarray(np.maximum(values.max(axis=others), -values.min(axis=others)), np.float32)


def _difference(exact: Collection[NDArray[np.float32]], other: Collection[NDArray[np.float32]]) -> float:
    """Give the power of the difference, as a share of each output's own, summed over outputs."""
    pairs = zip(exact, other, strict=True)
    return sum(float(np.square(a - b).sum() / (np.square(a).sum() + 1e-30)) for a, b in pairs)


def leave_as_few(
    order: Sequence[int], loss_of: Callable[[frozenset[int]], float], max_loss: float, progress: Progress
) -> frozenset[int]:
    """Leave so many of the worst in fp32 that the loss is within its limit, and not many more.

    Args:
        order: operands, the worst first.
        loss_of: of the model that leaves these in fp32.
        max_loss: its limit.
        progress: called after each look.

    Returns:
        What to leave: a number at which the limit holds, and the smallest as far as each one left helps. All of them
        where it holds at no number that was tried; that is not tried.
    """
    too_few, enough = 0, len(order)
    num_looks = (enough - 1).bit_length()
    for done in range(1, num_looks + 1):
        middle = (too_few + enough) // 2
        if middle > too_few and loss_of(frozenset(order[:middle])) <= max_loss:
            enough = middle
        else:
            too_few = middle
        progress("choose layers", done, num_looks)
    return frozenset(order[:enough])
