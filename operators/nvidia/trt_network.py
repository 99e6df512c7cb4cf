"""From an ONNX file to a TensorRT network whose inputs and outputs are what a detector needs, or a sentence why not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from engine.errors import BundleError
from engine.trt_build import BuildRequest
from engine.trt_engine import TrtTensor
from operators.nvidia.tensorrt_module import TensorrtModule, dtype_name

# RT-DETR and D-FINE exported with their postprocessor want the size to scale boxes to.
SIZES_INPUT = "orig_target_sizes"
_PICTURE_DTYPES = ("float32", "float16", "uint8")
_NO_MODEL = "no ONNX model, or a damaged one; export it again"


@dataclass(frozen=True)
class TrtNetwork:
    """A parsed model.

    Attributes:
        network: trt.INetworkDefinition, every size of it known but the batch.
        parser: trt.OnnxParser, which owns the weights: it must live until the engine is built.
        batches: smallest, fastest and largest batch; all the same where the model's batch is fixed.
        inputs, outputs: in the model's order; -1 stands for a batch that is free.
    """

    network: Any
    parser: Any
    batches: tuple[int, int, int]
    inputs: tuple[TrtTensor, ...]
    outputs: tuple[TrtTensor, ...]

    def shape_ranges(self) -> list[tuple[str, list[tuple[int, ...]]]]:
        """Give the inputs with a free batch, and their shapes at the smallest, fastest and largest."""
        free = [tensor for tensor in self.inputs if tensor.shape[0] == -1]
        return [(tensor.name, [(batch, *tensor.shape[1:]) for batch in self.batches]) for tensor in free]


def parse_onnx(module: TensorrtModule, builder: Any, request: BuildRequest) -> TrtNetwork:
    """Read a model with TensorRT's own parser.

    Raises:
        BundleError: no ONNX model, damaged, with operators that the library lacks, or of other inputs or sizes.
    """
    path = request.onnx
    if not path.is_file():
        raise BundleError(f"{path}: no such model file")
    strongly_typed = 1 << int(module.trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(strongly_typed)
    parser = module.parser(network)
    parsed = parser.parse_from_file(str(path))
    errors = [parser.get_error(i) for i in range(parser.num_errors)]
    if errors:
        raise BundleError(f"{path}: {_parser_sentence(module, errors)}")
    # The parser makes an empty network of an empty file, and of some that are no ONNX at all.
    if not parsed or network.num_outputs == 0:
        raise BundleError(f"{path}: {_NO_MODEL}")
    batch = _fix_inputs(network, request)
    batches = (request.min_batch, request.opt_batch, request.max_batch) if batch == -1 else (batch,) * 3
    inputs = tuple(_tensor(network.get_input(i)) for i in range(network.num_inputs))
    outputs = tuple(_tensor(network.get_output(i)) for i in range(network.num_outputs))
    _check_outputs(request, outputs, batch)
    return TrtNetwork(network, parser, batches, inputs, outputs)


def _fix_inputs(network: Any, request: BuildRequest) -> int:
    """Write the pictures' size into the network; give the model's batch, -1 where it is free."""
    path, (width, height) = request.onnx, request.input_wh
    tensors = [network.get_input(i) for i in range(network.num_inputs)]
    pictures = [tensor for tensor in tensors if _takes_pictures(tensor)]
    if len(pictures) != 1:
        found = "; ".join(_words(_tensor(tensor)) for tensor in tensors) or "none"
        raise BundleError(f"{path}: expected one input (N, 3, height, width) of floats or uint8, the model has {found}")
    (picture,) = pictures
    batch, _, *size_hw = picture.shape
    if any(found not in (-1, wanted) for found, wanted in zip(size_hw, (height, width), strict=True)):
        found_h, found_w = ("?" if n == -1 else n for n in size_hw)
        raise BundleError(f"{path}: the model takes {found_w}x{found_h} pictures only, not {width}x{height}")
    if batch not in (-1, request.max_batch):
        raise BundleError(
            f"{path}: the model takes batches of {batch} only, not up to {request.max_batch}; build with --max-batch "
            f"{batch}, or export the model with a free batch"
        )
    for tensor in tensors:
        if tensor is not picture and tensor.name != SIZES_INPUT:
            raise BundleError(f"{path}: the model wants an input '{tensor.name}' beside the picture; export it without")
        shape = (batch, 3, height, width) if tensor is picture else (batch, 2)
        if any(found not in (-1, wanted) for found, wanted in zip(tensor.shape, shape, strict=True)):
            raise BundleError(
                f"{path}: the input {_words(_tensor(tensor))} does not go with batches of {_number(batch)} pictures; "
                "export the model with one batch size for all inputs"
            )
        tensor.shape = shape
    return int(batch)


def _takes_pictures(tensor: Any) -> bool:
    shape = tuple(tensor.shape)
    return len(shape) == 4 and shape[1] in (3, -1) and dtype_name(tensor.dtype) in _PICTURE_DTYPES


def _check_outputs(request: BuildRequest, outputs: tuple[TrtTensor, ...], batch: int) -> None:
    for output in outputs:
        if not output.shape or output.shape[0] != batch:
            raise BundleError(
                f"{request.onnx}: the output {_words(output)} does not begin with the batch ({_number(batch)}); export "
                "the model with the batch first in every output"
            )
        if -1 in output.shape[1:]:
            raise BundleError(
                f"{request.onnx}: the size of the output {_words(output)} depends on the picture; export the model "
                "without NMS"
            )


def _tensor(tensor: Any) -> TrtTensor:
    return TrtTensor(name=tensor.name, shape=tuple(tensor.shape), dtype=dtype_name(tensor.dtype))


def _words(tensor: TrtTensor) -> str:
    return f"'{tensor.name}' ({', '.join(map(_number, tensor.shape))}) {tensor.dtype}"


def _number(size: int) -> str:
    return "?" if size == -1 else str(size)


def _parser_sentence(module: TensorrtModule, errors: list[Any]) -> str:
    """Say what the parser found: what the library lacks before all else, since other errors follow from it."""
    unsupported = [error for error in errors if _is_unsupported(error)]
    if unsupported:
        names = dict.fromkeys(f"'{error.node_operator()}' ({_node(error)})" for error in unsupported)
        return f"{module} has no operator {', '.join(names)}; export the model without, or run it by another backend"
    first, reason = errors[0], _reason(errors[0])
    if first.code().name == "MODEL_DESERIALIZE_FAILED":
        return _NO_MODEL
    if weights := re.search(r"Failed to import initializer: (?P<name>[^:]+)$", reason):
        return (
            f"the weights '{weights['name']}' cannot be read: the file that the model keeps them in is missing or too "
            f"short, or {module} has no such type"
        )
    if first.node_operator():
        return f"{module} does not take operator '{first.node_operator()}' ({_node(first)}): {reason}"
    return f"{module} cannot read the model: {reason}"


def _is_unsupported(error: Any) -> bool:
    if not error.node_operator():
        return False
    # What is no operator of ONNX either is taken for a plugin's.
    return error.code().name == "UNSUPPORTED_NODE" or "Plugin not found" in error.desc()


def _node(error: Any) -> str:
    return f"node '{error.node_name()}'" if error.node_name() else f"node number {error.node()}, which has no name"


def _reason(error: Any) -> str:
    """Take the words out of what the parser says, such as `Assertion failed: (n == m): Words.`, in C++."""
    # Below "Invalid Node - NAME" stands what the library itself says, and behind it what came of that.
    lines = re.sub(r"^Invalid Node - .*\n", "", str(error.desc())).splitlines()
    text = re.sub(r"^[\w:]+: Error Code \d+: [\w ]+ \(", "", lines[0])
    quoted = re.search(r'"(?P<words>[^"]+)"', text)
    words = quoted["words"] if quoted else re.sub(r"^Assertion failed: .*?\): ", "", text)
    return words.strip().rstrip(".)")
