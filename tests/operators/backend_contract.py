"""What every backend that reads a bundle's ONNX file must do, whatever runs it. See `engine.inference.InferenceBackend`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from onnx import TensorProto

from engine.bundle import Bundle
from engine.errors import BundleError
from engine.inference import BackendOptions, InferenceBackend
from operators.inference_onnxruntime import InferenceOnnxruntime
from tests.operators.test_inference_onnxruntime import bundle_of, noise, save_identity
from tests.tiny_models import save_constant, save_yolox

STREET = Path(__file__).resolve().parents[2] / "models" / "street-nano"


class BackendContract:
    """Subclassed by each backend's test."""

    backend: ClassVar[type[Any]]

    def opened(self, bundle: Bundle, **options: Any) -> InferenceBackend:
        backend: InferenceBackend = self.backend(BackendOptions(**options))
        backend.open(bundle)
        return backend

    def test_says_what_it_runs(self, tmp_path: Path) -> None:
        free = self.opened(bundle_of(save_yolox(tmp_path / "free.onnx")))
        fixed = self.opened(bundle_of(save_yolox(tmp_path / "fixed.onnx", batch=2)))
        assert (free.precision, free.device, free.fixed_batch, free.max_batch) == ("fp32", "cpu", None, 1)
        assert (fixed.fixed_batch, fixed.max_batch) == (2, 2)

    def test_inspects_a_file_as_onnx_runtime_does(self, tmp_path: Path) -> None:
        path = save_yolox(tmp_path / "tiny.onnx", size_wh=(96, 64))
        assert self.backend().inspect(path) == InferenceOnnxruntime().inspect(path)

    def test_gives_what_onnx_runtime_gives(self) -> None:
        bundle = Bundle.load(STREET)
        pictures = noise(2, (416, 416))
        reference = InferenceOnnxruntime()
        reference.open(bundle)
        (got,), (want,) = self.opened(bundle).infer(pictures), reference.infer(pictures)
        assert got.dtype == want.dtype
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-4)

    @pytest.mark.parametrize("fixed_batch", [None, 1, 2])
    @pytest.mark.parametrize("count", [1, 2, 3, 8])
    def test_a_batch_gives_what_each_picture_gives_alone(
        self, tmp_path: Path, fixed_batch: int | None, count: int
    ) -> None:
        backend = self.opened(bundle_of(save_yolox(tmp_path / "tiny.onnx", batch=fixed_batch)))
        pictures = noise(count)
        (together,) = backend.infer(pictures)
        alone = np.concatenate([backend.infer(pictures[i : i + 1])[0] for i in range(count)])
        assert together.shape == (count, 84, 7)
        assert np.array_equal(together, alone)

    def test_normalises_each_channel_in_its_order(self, tmp_path: Path) -> None:
        path = save_identity(tmp_path / "same.onnx", TensorProto.FLOAT, ["N", 3, 64, 64])
        spec: dict[str, Any] = {"mean": (10.0, 20.0, 30.0), "std": (2.0, 4.0, 5.0)}
        pictures = noise(2)
        (seen,) = self.opened(bundle_of(path, **spec)).infer(pictures)
        mean, std = (np.array(spec[key]).reshape(1, 3, 1, 1) for key in ("mean", "std"))
        np.testing.assert_allclose(seen, (pictures - mean) / std, atol=1e-5)

    @pytest.mark.parametrize(
        ("dtype", "gives"),
        [(TensorProto.FLOAT, np.float32), (TensorProto.FLOAT16, np.float32), (TensorProto.UINT8, np.uint8)],
    )
    def test_feeds_models_of_any_input_type(self, tmp_path: Path, dtype: int, gives: type) -> None:
        backend = self.opened(bundle_of(save_identity(tmp_path / "same.onnx", dtype, ["N", 3, 64, 64])))
        pictures = noise(2)
        (seen,) = backend.infer(pictures)
        assert seen.dtype == gives
        assert np.array_equal(seen, pictures)

    def test_a_second_call_does_not_change_the_first_result(self, tmp_path: Path) -> None:
        backend = self.opened(bundle_of(save_identity(tmp_path / "same.onnx", TensorProto.FLOAT, ["N", 3, 64, 64])))
        first = noise(1)
        (seen,) = backend.infer(first)
        backend.infer(np.zeros_like(first))
        assert np.array_equal(seen, first)

    def test_models_that_ask_for_sizes_are_given_the_input_s(self, tmp_path: Path) -> None:
        boxes = np.array([[[0.5, 0.5, 1, 1]]], np.float32)
        path = save_constant(tmp_path / "sizes.onnx", [boxes], size_wh=(96, 64), sizes_input=True)
        (scaled,) = self.opened(bundle_of(path, (96, 64))).infer(noise(2, (96, 64)))
        assert scaled.tolist() == [[[48, 32, 96, 64]]] * 2

    def test_outputs_keep_the_model_s_order_and_types(self, tmp_path: Path) -> None:
        ids, scores = np.array([[3, 1]], np.int64), np.array([[0.25]], np.float32)
        outputs = self.opened(bundle_of(save_constant(tmp_path / "two.onnx", [ids, scores]))).infer(noise(3))
        assert [one.dtype for one in outputs] == [ids.dtype, scores.dtype]
        assert [one.tolist() for one in outputs] == [[[3, 1]] * 3, [[0.25]] * 3]

    def test_a_size_that_the_model_does_not_take_is_refused(self, tmp_path: Path) -> None:
        path = save_yolox(tmp_path / "tiny.onnx")
        with pytest.raises(BundleError, match=r"tiny.onnx: the model takes 64x64 pictures only, not 416x416"):
            self.opened(bundle_of(path, (416, 416)))

    def test_a_model_without_a_picture_input_is_refused(self, tmp_path: Path) -> None:
        path = save_identity(tmp_path / "flat.onnx", TensorProto.FLOAT, ["N", 10])
        with pytest.raises(
            BundleError, match=r"expected one input \(N, 3, height, width\).*the model has x \(\?, 10\)"
        ):
            self.backend().inspect(path)

    def test_a_file_that_is_no_model_is_refused_in_one_sentence(self, tmp_path: Path) -> None:
        path = tmp_path / "notes.onnx"
        path.write_text("not a model")
        with pytest.raises(BundleError, match=r"notes.onnx: .*cannot (be )?read (it )?as an ONNX model: .+") as caught:
            self.backend().inspect(path)
        assert "\n" not in str(caught.value)

    def test_a_file_that_is_not_there_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(BundleError, match=r"gone.onnx: no such model file"):
            self.backend().inspect(tmp_path / "gone.onnx")

    def test_closing_needs_no_opening(self) -> None:
        self.backend().close()
