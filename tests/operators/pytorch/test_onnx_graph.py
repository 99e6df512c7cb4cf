from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from engine.errors import BackendUnavailable, BundleError
from operators.pytorch.onnx_graph import Node, read_graph
from tests.operators.pytorch.graphs import save_text


def test_reads_what_is_in_a_file(tmp_path: Path) -> None:
    body = "k = Constant <value_floats = [1.0, 2.0]> () a = Relu (x) y = LeakyRelu <alpha = 0.5> (a)"
    graph = read_graph(save_text(tmp_path / "small.onnx", body))
    assert [str(value) for value in graph.inputs] == ["x (?, 3, 8, 8) tensor(float)"]
    assert [value.name for value in graph.outputs] == ["y"]
    assert [str(node) for node in graph.nodes] == ["Relu (layer 'a')", "LeakyRelu (layer 'y')"]
    assert graph.nodes[1].attributes == {"alpha": 0.5}
    assert graph.constants["k"].tolist() == [1.0, 2.0]


def test_weights_that_old_files_list_as_inputs_are_none(tmp_path: Path) -> None:
    weight = numpy_helper.from_array(np.ones((1, 3, 8, 8), np.float16), "w")
    x, w, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT16, [1, 3, 8, 8]) for name in "xwy")
    graph = helper.make_graph([helper.make_node("Add", ["x", "w"], ["y"])], "g", [x, w], [y], [weight])
    path = tmp_path / "old.onnx"
    onnx.save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=3), str(path))
    read = read_graph(path)
    assert [value.name for value in read.inputs] == ["x"]
    assert read.constants["w"].dtype == torch.float32


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"gone.onnx: no such model file"):
        read_graph(tmp_path / "gone.onnx")


def test_a_file_that_is_no_model_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "notes.onnx"
    path.write_text("not a model")
    with pytest.raises(BundleError, match=r"notes.onnx: cannot be read as an ONNX model: .+") as caught:
        read_graph(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("opset", "found"), [(10, "10"), (24, "24")])
def test_a_version_that_is_not_known_is_refused(opset: int, found: str, tmp_path: Path) -> None:
    path = save_text(tmp_path / "version.onnx", "y = Relu (x)", opset=opset)
    with pytest.raises(
        BundleError,
        match=rf"version.onnx: the torch backend reads ONNX opsets 11 to 23, this model has {found}; export it",
    ):
        read_graph(path)


def test_constants_that_are_words_are_refused(tmp_path: Path) -> None:
    path = save_text(tmp_path / "words.onnx", 'k = Constant <value_string = "a"> () y = Relu (x)')
    with pytest.raises(
        BackendUnavailable, match=r"words.onnx: the torch backend knows no constants that are string, as in layer 'k'"
    ):
        read_graph(path)


def test_attributes_that_nobody_read_are_told() -> None:
    node = Node("Conv", "c", ("x",), ("y",), 13, {"group": 2, "pads": [1, 1]})
    assert node.integer("group", 1) == 2
    with pytest.raises(ValueError, match=r"attribute 'pads' is not known here"):
        node.check_all_read()
    assert node.integers("pads") == [1, 1]
    node.check_all_read()
