"""Start from weights that already see: the initialisers of a YOLOX ONNX file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from engine.bundle import Bundle
from engine.errors import BundleError
from engine.onnx_import import exported_names
from training.model import STRIDES, Detector


@dataclass(frozen=True)
class LoadReport:
    """What came from the file.

    Attributes:
        num_loaded: convolutions taken over.
        classes_kept: labels whose class weights came along.
        classes_new: labels that start from random weights.
    """

    num_loaded: int
    classes_kept: tuple[str, ...]
    classes_new: tuple[str, ...]


def load_onnx_weights(
    model: Detector, path: Path, labels: Sequence[str], file_labels: Sequence[str] | None = None
) -> LoadReport:
    """Fill a detector from an ONNX file of the same architecture, so that it computes what the file computes.

    The file's batch norms are folded into its convolutions: here each norm gets the file's bias and neutral statistics.
    Before training goes on, `recalibrate` must give them true statistics.

    Args:
        model: of the file's size; its number of classes may differ.
        path: the ONNX file, or a bundle.
        labels: the model's classes. A class that the file knows by the same name keeps its weights.
        file_labels: the file's classes; by default those that it or the bundle names, else COCO's 80, or `labels`.

    Raises:
        BundleError: no ONNX file, or of another architecture or size; says the first layer that differs.
    """
    if path.is_dir():
        bundle = Bundle.load(path)
        path, file_labels = bundle.file("onnx"), file_labels or bundle.manifest.labels
    kernels, names = _read_convolutions(path)
    slots = _convolutions_in_order(model)
    if len(kernels) != len(slots):
        raise BundleError(
            f"{path}: not a model of this size: it has {len(kernels)} convolutions, this size has {len(slots)}"
        )
    heads = {branch.class_scores for branch in model.branches}
    columns = _class_columns(path, labels, kernels, slots, heads, file_labels or names)
    with torch.no_grad():
        for number, ((conv, norm), (kernel, bias)) in enumerate(zip(slots, kernels, strict=True)):
            if conv in heads:
                kept = [new for new, old in enumerate(columns) if old is not None]
                old = [column for column in columns if column is not None]
                conv.weight[kept] = torch.from_numpy(kernel[old]).to(conv.weight)
                assert conv.bias is not None
                conv.bias[kept] = torch.from_numpy(bias[old]).to(conv.bias)
                continue
            if tuple(conv.weight.shape) != kernel.shape:
                raise BundleError(
                    f"{path}: not a model of this size: convolution {number} is {_shape(kernel.shape)}, "
                    f"this size has {_shape(tuple(conv.weight.shape))}"
                )
            conv.weight.copy_(torch.from_numpy(kernel))
            if norm is None:
                assert conv.bias is not None
                conv.bias.copy_(torch.from_numpy(bias))
            else:
                _make_neutral(norm, torch.from_numpy(bias))
    return LoadReport(
        num_loaded=len(kernels),
        classes_kept=tuple(name for name, old in zip(labels, columns, strict=True) if old is not None),
        classes_new=tuple(name for name, old in zip(labels, columns, strict=True) if old is None),
    )


def recalibrate(model: Detector, batches: Iterable[Tensor]) -> None:
    """Make loaded weights fit for training, without changing what the network computes.

    Training normalises with each batch's own mean and variance: a norm whose stored statistics are not those of the
    data would compute something else from the first step on. So all statistics are measured anew. And kernels into
    which a norm was folded differ in size by orders of magnitude, while Adam moves every weight by about the learning
    rate: each kernel gets unit length, and its norm the factor. (Without this, eleven steps at 0.0003 took YOLOX-nano
    from AP .72 to .15 on the Penn-Fudan pictures.)

    Args:
        model: any detector.
        batches: float32 (B, 3, H, W) each, BGR, 0..255; at least one.
    """
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    sums = {norm: (torch.zeros(norm.num_features).double(), torch.zeros(norm.num_features).double()) for norm in norms}
    counts = dict.fromkeys(norms, 0)

    def watch(norm: nn.Module, args: tuple[Tensor, ...]) -> None:
        assert isinstance(norm, nn.BatchNorm2d)
        values = args[0].detach().double().cpu()
        sums[norm][0].add_(values.sum((0, 2, 3)))
        sums[norm][1].add_(values.square().sum((0, 2, 3)))
        counts[norm] += values.numel() // values.shape[1]

    hooks = [norm.register_forward_pre_hook(watch) for norm in norms]
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            for images in batches:
                model(images)
    finally:
        for hook in hooks:
            hook.remove()
        model.train(was_training)
    with torch.no_grad():
        for norm in norms:
            mean = sums[norm][0] / counts[norm]
            variance = (sums[norm][1] / counts[norm] - mean.square()).clamp(min=0)
            _move_statistics(norm, mean.to(norm.weight), variance.to(norm.weight))
        for conv, norm_after in _convolutions_in_order(model):
            if norm_after is not None:
                _make_unit(conv, norm_after)


def _move_statistics(norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor) -> None:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    gain = norm.weight / (norm.running_var + norm.eps).sqrt()
    norm.bias.add_(gain * (mean - norm.running_mean))
    norm.weight.copy_(gain * (variance + norm.eps).sqrt())
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)


def _make_unit(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    # A channel without a kernel has no length to divide by.
    length = conv.weight.flatten(1).norm(dim=1).clamp(min=1e-12)
    gain = norm.weight * length / (norm.running_var + norm.eps).sqrt()
    conv.weight.div_(length[:, None, None, None])
    norm.running_mean.div_(length)
    norm.running_var.div_(length.square())
    norm.weight.copy_(gain * (norm.running_var + norm.eps).sqrt())


def _make_neutral(norm: nn.BatchNorm2d, bias: Tensor) -> None:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.zero_()
    norm.running_var.fill_(1.0)
    norm.weight.fill_((1.0 + norm.eps) ** 0.5)
    norm.bias.copy_(bias)


def _read_convolutions(path: Path) -> tuple[list[tuple[NDArray[np.float32], NDArray[np.float32]]], tuple[str, ...]]:
    """Give kernel and bias of every convolution in the order of the graph, and the class names where it has some."""
    import onnx
    from onnx import numpy_helper

    try:
        model: Any = onnx.load(str(path))
    except FileNotFoundError:
        raise BundleError(f"{path}: no such file") from None
    except Exception as error:
        raise BundleError(f"{path}: not an ONNX model: {str(error).splitlines()[0]:.120}") from None
    values = {tensor.name: tensor for tensor in model.graph.initializer}
    found = []
    for node in model.graph.node:
        if node.op_type != "Conv":
            continue
        if len(node.input) != 3 or any(name not in values for name in node.input[1:]):
            raise BundleError(
                f"{path}: convolution '{node.name}' has no kernel and bias of its own; "
                f"only plain float models with folded batch norms can be loaded"
            )
        kernel, bias = (numpy_helper.to_array(values[name]).astype(np.float32) for name in node.input[1:])
        found.append((kernel, bias))
    return found, exported_names({entry.key: entry.value for entry in model.metadata_props})


def _convolutions_in_order(model: Detector) -> list[tuple[nn.Conv2d, nn.BatchNorm2d | None]]:
    """Give every convolution with the norm after it, in the order in which they run."""
    norm_after: dict[nn.Conv2d, nn.BatchNorm2d] = {}
    for module in model.modules():
        if isinstance(module, nn.Sequential) and len(module) == 3 and isinstance(module[1], nn.BatchNorm2d):
            assert isinstance(module[0], nn.Conv2d)
            norm_after[module[0]] = module[1]
    ran: list[nn.Conv2d] = []
    hooks = [
        module.register_forward_pre_hook(lambda conv, _: ran.append(conv))
        for module in model.modules()
        if isinstance(module, nn.Conv2d)
    ]
    was_training = model.training
    model.eval()
    with torch.no_grad():
        model(torch.zeros(1, 3, max(STRIDES), max(STRIDES)).to(next(model.parameters())))
    model.train(was_training)
    for hook in hooks:
        hook.remove()
    # The published files run a branch's classes before its box: the order of `Branch.forward`.
    return [(conv, norm_after.get(conv)) for conv in ran]


def _class_columns(
    path: Path,
    labels: Sequence[str],
    kernels: Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]],
    slots: Sequence[tuple[nn.Conv2d, nn.BatchNorm2d | None]],
    heads: set[Any],
    file_labels: Sequence[str],
) -> list[int | None]:
    from engine.labels import COCO

    number = next(kernel.shape[0] for (kernel, _), (conv, _) in zip(kernels, slots, strict=True) if conv in heads)
    if not file_labels:
        file_labels = COCO if number == len(COCO) else labels
    if number != len(file_labels):
        raise BundleError(f"{path}: the file has {number} classes, but {len(file_labels)} names for them are known")
    plain = [name.replace("_", " ").lower() for name in file_labels]
    wanted = [name.replace("_", " ").lower() for name in labels]
    return [plain.index(name) if name in plain else None for name in wanted]


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
