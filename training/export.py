"""From PyTorch to the one ONNX file that live cameras run."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from training.model import Detector, Scored, cell_grid

INPUT, OUTPUT = "images", "output"


def export_onnx(
    detector: Detector, path: Path, *, input_wh: tuple[int, int], labels: Sequence[str], opset: int = 17
) -> None:
    """Write a detector as one ONNX file: same weights and versions, same bytes.

    Batch norms are folded into the convolutions. Input `images` is float32 (batch, 3, height, width), BGR, 0..255;
    output `output` is float32 (batch, cells, 5 + classes) with probabilities from column 4 on (family `yolox`). The
    batch is dynamic. The class names are in the file's metadata, where `vedette models import` finds them.

    Args:
        detector: on any device, in any mode; it is not changed.
        path: the file; it appears complete or not at all.
        input_wh: width and height of the input, multiples of 32.
        labels: class names.
        opset: version of ONNX's operators, 13 to 20.
    """
    import onnx

    width, height = input_wh
    model = exported(detector)
    part = path.with_name(f".{path.name}.part")
    try:
        with warnings.catch_warnings():
            # PyTorch prefers its newer exporter: for this network it takes 9 s instead of 0.6, needs onnxscript, and
            # its file is as fast.
            warnings.filterwarnings("ignore", category=DeprecationWarning)
            torch.onnx.export(
                model, (torch.zeros(1, 3, height, width),), part, dynamo=False, opset_version=opset,
                input_names=[INPUT], output_names=[OUTPUT], dynamic_axes={INPUT: {0: "batch"}, OUTPUT: {0: "batch"}},
            )  # fmt: skip
        written = onnx.load(str(part))
        dims = written.graph.output[0].type.tensor_type.shape.dim
        dims[1].dim_value, dims[2].dim_value = len(cell_grid(height, width)), 5 + len(labels)
        _inline_shared_weights(written.graph)
        onnx.helper.set_model_props(written, {"names": repr(dict(enumerate(labels)))})
        onnx.checker.check_model(written, full_check=True)
        onnx.save_model(written, str(part))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def exported(detector: Detector) -> Scored:
    """Copy a detector into what is exported: on the CPU, in float32, in eval mode, with probabilities."""
    return Scored(copy.deepcopy(detector).cpu().float()).eval()


def _inline_shared_weights(graph: Any) -> None:
    """Let every node read its weights itself: the exporter stores equal tensors once, behind Identity nodes."""
    weights = {tensor.name for tensor in graph.initializer}
    copies = {n.output[0]: n for n in graph.node if n.op_type == "Identity" and n.input[0] in weights}
    for node in graph.node:
        node.input[:] = [copies[name].input[0] if name in copies else name for name in node.input]
    for node in copies.values():
        graph.node.remove(node)
