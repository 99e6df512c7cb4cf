"""Groups of nodes that are one function of PyTorch's: each saves passes over memory, which is what they cost.

`x * sigmoid(x)` is SiLU; `x * clip(x + 3, 0, 6) / 6`, in any order of the last two, is HardSwish. ONNX had neither when
most exporters were written.
"""

from __future__ import annotations

from collections import defaultdict

from torch import Tensor

from operators.pytorch.onnx_graph import Graph, Node


def fuse(graph: Graph) -> list[Node]:
    """Give the graph's nodes with the groups replaced."""
    return _Fusing(graph).nodes()


class _Fusing:
    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._maker = {name: node for node in graph.nodes for name in node.outputs}
        self._readers: dict[str, list[Node]] = defaultdict(list)
        for node in graph.nodes:
            for name in node.inputs:
                self._readers[name].append(node)
        self._outputs = {value.name for value in graph.outputs}

    def nodes(self) -> list[Node]:
        replaced: dict[str, Node] = {}
        gone: set[str] = set()
        for node in self._graph.nodes:
            found = self._silu(node) or self._hard_swish(node)
            if found:
                op, x, inner = found
                replaced[node.outputs[0]] = Node(op, node.name, (x,), node.outputs, node.opset)
                gone |= {one.outputs[0] for one in inner}
        return [replaced.get(n.outputs[0], n) for n in self._graph.nodes if n.outputs[0] not in gone]

    def _silu(self, last: Node) -> tuple[str, str, list[Node]] | None:
        if last.op != "Mul":
            return None
        for x, other in (last.inputs, last.inputs[::-1]):
            sigmoid = self._inner(other, "Sigmoid", last)
            if sigmoid and sigmoid.inputs[0] == x:
                return "Silu", x, [sigmoid]
        return None

    def _hard_swish(self, last: Node) -> tuple[str, str, list[Node]] | None:
        if last.op != "Div" or not self._is(last.inputs[1], 6):
            return None
        product = self._inner(last.inputs[0], "Mul", last)
        for x, other in (product.inputs, product.inputs[::-1]) if product else ():
            clip = self._inner(other, "Clip", product)
            if (
                clip is None
                or len(clip.inputs) != 3
                or not self._is(clip.inputs[1], 0)
                or not self._is(clip.inputs[2], 6)
            ):
                continue
            add = self._inner(clip.inputs[0], "Add", clip)
            if add and x in add.inputs and any(self._is(name, 3) for name in add.inputs):
                assert product is not None
                return "HardSwish", x, [add, clip, product]
        return None

    def _inner(self, name: str, op: str, reader: Node | None) -> Node | None:
        """Give the node that makes a value, if it is of this operator and nobody else reads the value."""
        node = self._maker.get(name)
        alone = self._readers[name] == [reader] and name not in self._outputs
        return node if node and node.op == op and alone else None

    def _is(self, name: str, number: float) -> bool:
        value: Tensor | None = self._graph.constants.get(name)
        return value is not None and value.numel() == 1 and value.item() == number
