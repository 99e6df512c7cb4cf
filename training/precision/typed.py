"""A network in another precision: an ONNX file whose types say what is computed in what.

TensorRT builds such a file as it stands (a strongly typed network), and ONNX Runtime shows what the precision costs.
"""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from engine.errors import BundleError, UsageError
from engine.input_spec import InputSpec
from engine.picture import Pixels
from engine.trt_engine import Calibration, Precision
from training.precision.calibration import pictures_sha256

if TYPE_CHECKING:
    from training.precision.quantise import Int8

Loss = Callable[[Path], float]
Progress = Callable[[str, int, int], object]


@dataclass(frozen=True)
class TypedModel:
    """A network in one precision. Layers are convolutions and matrix products.

    Attributes:
        path: the ONNX file; the original for fp32.
        precision: of its layers.
        layers: those that are in this precision, in the order of the graph; empty for fp32, which is not looked into.
        fp32_layers: the others.
        calibration: of int8.
    """

    path: Path
    precision: Precision
    layers: tuple[str, ...] = ()
    fp32_layers: tuple[str, ...] = ()
    calibration: Calibration | None = None


def typed_model(
    onnx: Path,
    out: Path,
    precision: Precision,
    *,
    spec: InputSpec,
    calibration: Sequence[Pixels] = (),
    keep_fp32: Collection[str] = (),
    loss: Loss | None = None,
    max_loss: float = 1.5,
    on_progress: Progress = lambda stage, done, total: None,
) -> TypedModel:
    """Write the same network in another precision: same pictures, same bytes. Inputs and outputs stay as they are.

    Args:
        onnx: the float32 model.
        out: the file to write; it appears whole or not at all. Nothing is written for fp32.
        precision: of the layers. What follows the last layers stays in fp32.
        spec: how the model wants its pictures.
        calibration: for int8: uint8 (3, h, w) each, see `calibration_pictures`.
        keep_fp32: names of nodes that stay in fp32.
        loss: for int8: gives the points of mAP that the model at a path loses. Where all layers in int8 lose more than
            `max_loss`, those that change the outputs most are left in fp32, as many as it takes. Without it all are
            int8: the outputs' own error says too little about mAP to stop by.
        max_loss: points of mAP.
        on_progress: called with a stage, what is done of it, and how much there is.

    Raises:
        BundleError: no model that can be typed, or one that loses too much whatever is left in fp32.
        UsageError: int8 without pictures, or a missing package.
    """
    if precision == "fp32":
        return TypedModel(onnx, precision)
    _need_onnx(precision)
    from training.precision.half import to_half
    from training.precision.network import check_names, layer_names, read_network, write_network
    from training.precision.quantise import Int8

    model = read_network(onnx)
    keep = check_names(onnx, model, keep_fp32)
    names = layer_names(model)
    if precision == "int8":
        if not calibration:
            raise UsageError("int8 needs pictures to calibrate on: of a folder, a data set or a recording")
        network = Int8(onnx, model, spec, calibration, keep, on_progress)
        left = _choose(onnx, out, network, loss, max_loss) if loss else frozenset()
        write_network(network.build(left), out)
        typed = network.layers(left)
        facts = Calibration(method=network.method, num_images=len(calibration), sha256=pictures_sha256(calibration))
    else:
        half, typed = to_half(onnx, model, precision, keep)
        write_network(half, out)
        facts = None
    return TypedModel(
        path=out,
        precision=precision,
        layers=tuple(name for name in names if name in typed),
        fp32_layers=tuple(name for name in names if name not in typed),
        calibration=facts,
    )


def rounded_model(onnx: Path, out: Path, precision: Literal["fp16", "bf16"], keep_fp32: Collection[str] = ()) -> Path:
    """Write the network in float32 with every number rounded where the typed network rounds it.

    ONNX Runtime has no bf16 on a CPU; this shows it what bf16 costs. Sums within a layer stay exact, as they do on
    tensor cores.

    Raises:
        BundleError, UsageError: as `typed_model`.
    """
    _need_onnx(precision)
    from training.precision.half import to_half
    from training.precision.network import check_names, read_network, write_network

    model = read_network(onnx)
    write_network(to_half(onnx, model, precision, check_names(onnx, model, keep_fp32), emulate=True)[0], out)
    return out


def _choose(onnx: Path, out: Path, network: Int8, loss: Loss, max_loss: float) -> frozenset[int]:
    """Give what is left in fp32 so that the loss is within its limit."""
    from training.precision.network import write_network
    from training.precision.quantise import leave_as_few

    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as folder:

        def loss_of(left: frozenset[int]) -> float:
            path = Path(folder) / out.name
            write_network(network.build(left), path)
            return loss(path)

        lost = loss_of(frozenset())
        if lost <= max_loss:
            return frozenset()
        left = leave_as_few(network.by_harm(), loss_of, max_loss, network.progress)
    if len(left) == network.num_operands:
        raise BundleError(
            f"{onnx}: int8 loses {lost:.2f} points of mAP, and more than {max_loss:g} whatever layers stay in fp32; "
            f"take fp16, or calibrate on pictures more like those of the cameras"
        )
    return left


def _need_onnx(precision: str) -> None:
    if importlib.util.find_spec("onnx") is None:
        raise UsageError(f"precision {precision} needs onnx: pip install 'vedette[training]'")
