"""A small convolutional network as ONNX, with everything that makes typing hard, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

SIZE_WH = (32, 24)
LAYERS = ("stem", "uneven", "depthwise", "up", "head", "mix")


class Net:
    """Collects nodes and weights of a graph whose input is `images` (N, 3, 24, 32).

    Args:
        seed: of the random weights.
    """

    def __init__(self, seed: int = 0) -> None:
        self.nodes: list[NodeProto] = []
        self.weights: list[TensorProto] = []
        self._rng = np.random.default_rng(seed)

    def constant(self, name: str, value: Any) -> str:
        self.weights.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def random(self, name: str, *shape: int) -> str:
        fan_in = int(np.prod(shape[1:])) or 1
        return self.constant(name, (self._rng.normal(size=shape) / np.sqrt(fan_in)).astype(np.float32))

    def add(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    def save(self, path: Path, outputs: dict[str, list[Any]], opset: int = 13) -> Path:
        infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n, shape in outputs.items()]
        images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", 3, SIZE_WH[1], SIZE_WH[0]])
        graph = helper.make_graph(self.nodes, "net", [images], infos, self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
        helper.set_model_props(model, {"names": "{0: 'blue'}"})
        onnx.checker.check_model(model)
        onnx.save_model(model, str(path))
        return path


def save_net(path: Path, *, opset: int = 13) -> Path:
    """Write a network of six layers and two outputs: `head` straight from a layer, `scores` decoded after the last.

    Channels of the tensor before `depthwise` reach from 0.01 to 100, as they do where batch norms were folded.
    """
    net = Net()
    reach = np.geomspace(0.01, 100, 16).astype(np.float32)
    net.add("Mul", ["images", net.constant("scale", np.float32(1 / 255))], "scaled")
    net.add("Conv", ["scaled", net.random("stem.w", 16, 3, 3, 3)], "stem", pads=[1, 1, 1, 1], strides=[2, 2])
    net.add("Relu", ["stem"], "stem.relu")
    net.add("Conv", ["stem.relu", net.random("uneven.w", 16, 16, 1, 1), net.random("uneven.b", 16)], "uneven")
    net.add("Sigmoid", ["uneven"], "uneven.gate")
    net.add("Mul", ["uneven", "uneven.gate"], "uneven.silu")
    net.add("Mul", ["uneven.silu", net.constant("reach", reach.reshape(1, 16, 1, 1))], "unlike")
    weights = (np.random.default_rng(1).normal(size=(16, 1, 3, 3)) / reach.reshape(16, 1, 1, 1)).astype(np.float32)
    net.add("Conv", ["unlike", net.constant("depthwise.w", weights)], "depthwise", group=16, pads=[1, 1, 1, 1])
    net.add("Shape", ["uneven"], "uneven.shape")
    net.add("Slice", ["uneven.shape", net.constant("two", np.array([2])), net.constant("four", np.array([4]))], "size")
    net.add("Mul", ["size", net.constant("twice", np.array([2, 2]))], "twice_size")
    net.add("Slice", ["uneven.shape", net.constant("zero", np.array([0])), net.constant("second", np.array([2]))], "nc")
    net.add("Concat", ["nc", "twice_size"], "target", axis=0)
    nothing = net.constant("nothing", np.zeros(0, np.float32))
    net.add("Resize", ["depthwise", nothing, nothing, "target"], "larger", mode="nearest")
    net.add("Conv", ["larger", net.random("up.w", 16, 16, 1, 1)], "up", strides=[2, 2])
    net.add("Conv", ["up", net.random("head.w", 4, 16, 1, 1)], "head")
    net.add("GlobalAveragePool", ["up"], "pooled")
    net.add("Reshape", ["pooled", net.constant("flat", np.array([-1, 16]))], "vector")
    net.add("MatMul", ["vector", net.random("mix.w", 16, 5)], "mix")
    net.add("Exp", ["mix"], "scores")
    return net.save(path, {"head": ["N", 4, 12, 16], "scores": ["N", 5]}, opset)


def soft_pictures(num: int, seed: int = 0) -> list[NDArray[np.uint8]]:
    """Give random pictures, uint8 (3, 24, 32) each."""
    rng = np.random.default_rng(seed)
    width, height = SIZE_WH
    coarse = rng.integers(0, 256, (num, 3, height // 4, width // 4), np.uint8)
    return list(coarse.repeat(4, axis=2).repeat(4, axis=3))
