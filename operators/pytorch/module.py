"""An ONNX graph as a PyTorch module: the nodes in order, shape arithmetic done once for each shape of input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from engine.cuda_errors import translate
from engine.errors import BackendUnavailable, BundleError
from operators.pytorch.decoding import decoding_nodes
from operators.pytorch.onnx_graph import Function, Graph, Node
from operators.pytorch.operator import Computes, Operator
from operators.pytorch.patterns import fuse
from operators.pytorch.table import OPERATORS

Key = tuple[str, torch.dtype | None]


@dataclass(frozen=True)
class Step:
    """One call. Values lie in numbered places; those that nobody reads any more are emptied."""

    function: Function
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    emptied: tuple[int, ...]


class Program:
    """A graph for one shape of input. It never waits for the device, so it can be captured in a CUDA graph."""

    def __init__(self, steps: Sequence[Step], values: Sequence[Any], outputs: Sequence[int]) -> None:
        """Take the steps, the values known before (the first place is the picture's), and where the outputs lie."""
        self._steps, self._values, self._outputs = steps, values, outputs

    def __call__(self, images: Tensor) -> tuple[Tensor, ...]:
        """Run it on pictures of that shape."""
        values = list(self._values)
        values[0] = images
        for step in self._steps:
            got = step.function(*[values[place] for place in step.inputs])
            if isinstance(got, Tensor):
                values[step.outputs[0]] = got
            else:
                for place, value in zip(step.outputs, got, strict=False):
                    values[place] = value
            for place in step.emptied:
                values[place] = None
        return tuple(values[place] for place in self._outputs)


class OnnxModule(nn.Module):
    """Runs an ONNX graph on one device and in one precision, both chosen here: `.to()` afterwards is not for it.

    In half precision the layers compute in it, what is sensitive and what decodes boxes stays float32; see
    `operators.pytorch.operator.Computes` and `operators.pytorch.decoding`.

    Attributes:
        device, dtype: as chosen.
        image_dtype: of the pictures that it takes: uint8 where the file says so, else its own.
    """

    def __init__(
        self,
        graph: Graph,
        image: str,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        extra: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Find a function for each node.

        Args:
            graph: see read_graph.
            image: name of the input that takes pictures.
            device: where its weights are.
            dtype: torch.float32, float16 or bfloat16.
            extra: the value of every other input for one picture, with a batch of 1.

        Raises:
            BackendUnavailable: an operator, or an attribute of one, is not known here.
        """
        super().__init__()
        self.device, self.dtype = device, dtype
        of_bytes = any(value.name == image and value.dtype == "tensor(uint8)" for value in graph.inputs)
        self.image_dtype = torch.uint8 if of_bytes else dtype
        self._graph, self._image, self._extra = graph, image, dict(extra or {})
        self._decoding = decoding_nodes(graph)
        self._constants = dict(graph.constants)
        self._nodes: list[tuple[Node, Operator, Function]] = []
        for node in fuse(graph):
            operator, function = _function(graph, node)
            if not operator.of_shape and all(name in self._constants for name in node.inputs if name):
                self._constants |= _call(graph, node, operator, function, self._constants)
            else:
                self._nodes.append((node, operator, function))
        self._buffers_of: dict[Key, Tensor] = {}
        self._programs: dict[torch.Size, Program] = {}

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Run the model.

        Args:
            images: (n, 3, h, w), normalised, on the module's device, of its image_dtype.

        Returns:
            The outputs in the model's order; those of a floating type are float32.

        Raises:
            BundleError: the graph does not fit this shape; says at which layer.
        """
        return self.program(images.shape)(images)

    def program(self, shape: torch.Size) -> Program:
        """Give what runs on pictures of this shape; made once."""
        if shape not in self._programs:
            self._programs[shape] = _Tracer(self, shape).program()
        return self._programs[shape]

    def operand(self, name: str, value: Tensor, dtype: torch.dtype | None) -> Tensor:
        """Put a known value where the model runs, in a type; weights once for all shapes."""
        if name not in self._constants:
            return _placed(value, self.device, dtype)
        key = (name, dtype)
        if key not in self._buffers_of:
            self._buffers_of[key] = _placed(value, self.device, dtype)
            self.register_buffer(f"weight_{len(self._buffers_of)}", self._buffers_of[key])
        return self._buffers_of[key]


def _function(graph: Graph, node: Node) -> tuple[Operator, Function]:
    operator = OPERATORS.get(node.op)
    advice = "use --backend onnxruntime"
    if operator is None:
        raise BackendUnavailable(f"{graph.path}: the torch backend does not know the operator {node}; {advice}")
    try:
        function = operator.make(node)
        node.check_all_read()
    except ValueError as error:
        raise BackendUnavailable(f"{graph.path}: the torch backend cannot run {node}: {error}; {advice}") from None
    return operator, function


def _call(
    graph: Graph, node: Node, operator: Operator, function: Function, known: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Run a node whose inputs are all known, on the CPU."""
    operands = [_as_argument(operator, i, known[name]) if name else None for i, name in enumerate(node.inputs)]
    return dict(zip(node.outputs, _results(graph, node, function, operands), strict=False))


def _as_argument(operator: Operator, position: int, value: Tensor) -> Any:
    if position in operator.known or (position in operator.number and value.numel() == 1 and value.dim() == 0):
        return value.tolist()
    return value


def _results(graph: Graph, node: Node, function: Function, operands: Sequence[Any]) -> list[Tensor]:
    try:
        got = function(*operands)
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        if translate(error, "") is not None:
            # The GPU's fault, not the model's: for whoever knows the device.
            raise
        reason = str(error).partition("\n")[0]
        raise BundleError(f"{graph.path}: the model failed at {node}: {reason}") from error
    return [got] if isinstance(got, Tensor) else list(got)


def _placed(value: Tensor, device: torch.device, dtype: torch.dtype | None) -> Tensor:
    if dtype is not None and value.is_floating_point():
        value = value.to(dtype)
    # As the pictures: the weights of a convolution follow them.
    return value.to(device, memory_format=torch.channels_last if value.dim() == 4 else torch.preserve_format)


class _Tracer:
    """Runs a graph once, for the shapes and types of its values, and writes down what is left to do."""

    def __init__(self, module: OnnxModule, shape: torch.Size) -> None:
        self._module = module
        self._known = dict(module._constants)
        for name, row in module._extra.items():
            self._known[name] = row.repeat(shape[0], *[1] * (row.dim() - 1))
        # Not on PyTorch's meta device: its first use costs a process some seconds, a picture some milliseconds.
        images = _placed(torch.zeros(shape, dtype=module.image_dtype, device=module.device), module.device, None)
        self._live: dict[str, Tensor] = {module._image: images}
        self._places: dict[Key, int] = {(module._image, module.image_dtype): 0}
        self._values: list[Any] = [None]
        self._steps: list[tuple[Function, list[int], list[int]]] = []

    @torch.inference_mode()
    def program(self) -> Program:
        graph = self._module._graph
        results = {value.name for value in graph.outputs}
        last_read = {name: i for i, (node, *_) in enumerate(self._module._nodes) for name in node.inputs}
        for i, (node, operator, function) in enumerate(self._module._nodes):
            if all(name in self._known for name in node.inputs if name):
                self._known |= _call(graph, node, operator, function, self._known)
            elif operator.of_shape:
                self._known |= dict(zip(node.outputs, _results(graph, node, function, self._traced(node)), strict=True))
            else:
                self._trace(node, operator, function)
            for name in {*node.inputs, *node.outputs} - results:
                if last_read.get(name, i) == i:
                    # A batch must not need more memory here than it will when it runs.
                    self._live.pop(name, None)
        outputs = [self._place(value.name, torch.float32) for value in graph.outputs]
        last = {place: i for i, (_, inputs, made) in enumerate(self._steps) for place in (*inputs, *made)}
        steps = [
            Step(function, tuple(inputs), tuple(made), tuple(
                place for place in {*inputs, *made} if last[place] == i and self._values[place] is None
                and place not in outputs
            ))
            for i, (function, inputs, made) in enumerate(self._steps)
        ]  # fmt: skip
        return Program(steps, self._values, outputs)

    def _traced(self, node: Node) -> list[Tensor]:
        return [self._live[name] for name in node.inputs]

    def _trace(self, node: Node, operator: Operator, function: Function) -> None:
        dtype = self._dtype(node, operator)
        places: list[int] = []
        operands: list[Any] = []
        for position, name in enumerate(node.inputs):
            value = self._known.get(name)
            if not name:
                places.append(self._constant(None))
                operands.append(None)
            elif value is not None and not isinstance(argument := _as_argument(operator, position, value), Tensor):
                places.append(self._constant(argument))
                operands.append(argument)
            elif position in operator.known:
                raise BackendUnavailable(
                    f"{self._module._graph.path}: the torch backend cannot run {node}: its input '{name}' depends on "
                    f"what is in the picture; use --backend onnxruntime"
                )
            else:
                places.append(self._place(name, dtype))
                operand = self._live[name] if value is None else self._values[places[-1]]
                operands.append(operand.to(dtype) if dtype and operand.is_floating_point() else operand)
        made = _results(self._module._graph, node, function, operands)
        outputs = []
        for name, result in zip(node.outputs, made, strict=False):
            self._live[name] = result
            outputs.append(self._constant(None))
            self._places[name, result.dtype] = outputs[-1]
        self._steps.append((function, places, outputs))

    def _dtype(self, node: Node, operator: Operator) -> torch.dtype | None:
        """Say in what floating type a node computes; None where it has nothing of the kind."""
        if self._module.dtype == torch.float32:
            # What the file says, double precision too.
            return None
        if node.outputs[0] in self._module._decoding or operator.computes is Computes.FULL:
            return torch.float32
        if operator.computes is Computes.HALF:
            return self._module.dtype
        types = {self._live[name].dtype for name in node.inputs if name in self._live}
        floating = [dtype for dtype in types if dtype.is_floating_point]
        return max(floating, key=lambda dtype: dtype.itemsize, default=None)

    def _constant(self, value: Any) -> int:
        self._values.append(value)
        return len(self._values) - 1

    def _place(self, name: str, dtype: torch.dtype | None) -> int:
        """Find where a value lies in a type; where it does not yet, convert it."""
        value = self._known.get(name)
        if value is not None:
            key = (name, dtype if value.is_floating_point() else None)
            if key not in self._places:
                self._places[key] = self._constant(self._module.operand(name, value, key[1]))
            return self._places[key]
        live = self._live[name]
        wanted = dtype if dtype and live.is_floating_point() else live.dtype
        if (name, wanted) not in self._places:
            self._places[name, wanted] = self._constant(None)
            source = self._places[name, live.dtype]
            self._steps.append((lambda x: x.to(wanted), [source], [self._places[name, wanted]]))
        return self._places[name, wanted]
