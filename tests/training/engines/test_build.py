"""An engine gets into a bundle whole and proven, or the bundle stays as it was, byte for byte."""

from __future__ import annotations

import errno
import hashlib
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from engine.bundle import Bundle
from engine.errors import BackendUnavailable, BundleError, SourceError, UsageError
from engine.gpu import Gpu
from engine.inference import BackendOptions, make_backend
from engine.onnx_import import ImportOptions, describe_onnx
from engine.trt_build import BuildRequest, BuiltEngine, make_builder
from engine.trt_engine import Flavour
from tests.tiny_models import COLORS, save_colors
from tests.training.engines.parts import (
    Change,
    OtherBackend,
    blind_to,
    first_of_batch,
    labelled,
    shifted,
    square_bundle,
    write_pictures,
)
from training.engines import fit, trial
from training.engines.build import EngineOrder, EngineReport, build_engine
from training.engines.parity import ParityError

GPU = Gpu(0, "NVIDIA Test", "8.9", 1 << 30, "13.0", "0000:01:00.0")
NAME = "engines/{}-tensorrt_rtx-{}-sm89"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return square_bundle(tmp_path_factory.mktemp("squares") / "bundle").root


@pytest.fixture
def bundle(made: Path, tmp_path: Path) -> Bundle:
    shutil.copytree(made, tmp_path / "bundle")
    return Bundle.load(tmp_path / "bundle")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return labelled(tmp_path_factory.mktemp("data"))


def version() -> str:
    return make_builder().library("tensorrt_rtx")[1]


def build(bundle: Bundle, precision: Any = "fp16", builder: Any = None, **settings: Any) -> EngineReport:
    order = EngineOrder(precision, **{"max_batch": 4, "targets": ("8.9",), "flavour": "tensorrt_rtx", **settings})
    return build_engine(bundle, order, builder or make_builder())


def fingerprint(folder: Path) -> dict[str, str]:
    """Every file of a folder and of its parent, with its hash: what is left beside a bundle counts, too."""
    files = [path for path in folder.parent.rglob("*") if path.is_file()]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def on_gpu(monkeypatch: pytest.MonkeyPatch) -> Callable[[Change | None], OtherBackend]:
    """Pretend that engines run here, in ONNX Runtime, with something done to their outputs."""

    def pretend(change: Change | None = None) -> OtherBackend:
        backend = OtherBackend() if change is None else OtherBackend(change)

        def make(name: str, options: BackendOptions) -> Any:
            return backend if name == "tensorrt" else make_backend(name, options)

        monkeypatch.setattr(fit, "gpus", lambda: (GPU,))
        monkeypatch.setattr(trial, "make_backend", make)
        return backend

    return pretend


class Broken:
    """A builder that fails as it is told."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def library(self, flavour: Flavour | None = None) -> tuple[Flavour, str]:
        return "tensorrt_rtx", "1.0"

    def build(self, request: BuildRequest) -> BuiltEngine:
        raise self._error


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16", "int8"])
def test_an_engine_of_every_precision(bundle: Bundle, pictures: Path, precision: str) -> None:
    # What eight bits cost a model of six layers is not the point here.
    more = {"calibrate": pictures, "max_map_loss": 100} if precision == "int8" else {}

    report = build(bundle, precision, **more)

    found = Bundle.load(bundle.root)
    found.check_files()
    (engine,) = found.manifest.engines
    name = NAME.format(precision, version())
    assert engine == report.engine
    assert (engine.file.path, engine.log.path) == (f"{name}.engine", f"{name}.log")
    assert (engine.precision, engine.compute_capabilities) == (precision, ("8.9",))
    assert (engine.min_batch, engine.opt_batch, engine.max_batch) == (1, 4, 4)
    assert engine.onnx_sha256 == bundle.manifest.files["onnx"].sha256
    assert (engine.graph is None) == (precision == "fp32")
    assert (engine.calibration is None) == (precision != "int8")
    assert (engine.latency_ms, engine.gpu) == ({}, None)
    assert len(found.read_engine(engine)) == engine.file.size > 1000
    assert found.digest == bundle.digest


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_an_engine_of_a_classifier(tmp_path: Path, precision: str) -> None:
    options = ImportOptions(family="classifier", labels=COLORS, input=(("mean", (0.0,) * 3), ("std", (255.0,) * 3)))
    bundle = describe_onnx(save_colors(tmp_path / "color.onnx"), options).write(tmp_path / "color")
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for name, bgr in {"red": (20, 30, 230), "green": (30, 220, 40), "blue": (230, 40, 20)}.items():
        cv2.imwrite(str(pictures / f"{name}.png"), np.full((40, 40, 3), bgr, np.uint8))

    parity = build(bundle, precision, images=pictures, calibrate=pictures).engine.parity

    assert parity is not None
    assert (parity.truth, parity.num_images, parity.map_onnx, parity.map_loss) == ("onnx", 3, 100, 0)
    assert parity.max_confidence < 0.1


def test_parity_is_that_of_the_graph_where_there_is_no_gpu(bundle: Bundle, data: Path) -> None:
    report = build(bundle, images=data)

    parity = report.engine.parity
    assert parity is not None
    assert (parity.measured_on, parity.truth, parity.num_images) == ("graph", "labels", 4)
    assert (parity.map_onnx, parity.map_loss) == (100, 0)
    assert 0 <= parity.max_confidence < 0.01
    assert "no NVIDIA driver" in report.why_not_engine


def test_a_model_is_not_compared_with_itself(bundle: Bundle, data: Path) -> None:
    report = build(bundle, "fp32", images=data)

    assert (report.engine.parity, report.parity, report.drawn_off) == (None, None, None)
    assert report.why_not_engine


def test_the_digits_of_bf16_are_missed_without_a_gpu(bundle: Bundle, data: Path) -> None:
    half, brief = (build(bundle, precision, images=data).engine.parity for precision in ("fp16", "bf16"))

    assert half is not None
    assert brief is not None
    assert brief.measured_on == "graph"
    assert brief.max_confidence > half.max_confidence


def test_numbers_beyond_the_range_of_fp16_are_found_without_a_gpu(tmp_path: Path, pictures: Path) -> None:
    # Exact in fp32: what is multiplied by a million is divided by it again.
    bundle = square_bundle(tmp_path / "loud", gain=1e6)
    before = fingerprint(bundle.root)

    with pytest.raises(ParityError, match=r"what the graph says about .* is no number"):
        build(bundle, "fp16", images=pictures)
    with pytest.raises(ParityError, match=r"the outputs for a drawn picture alone are nan % off"):
        build(bundle, "fp16")

    assert fingerprint(bundle.root) == before
    assert build(bundle, "bf16", images=pictures).engine.parity is not None


def test_without_pictures_raw_outputs_are_compared_on_drawn_ones(bundle: Bundle) -> None:
    report = build(bundle)

    assert report.engine.parity is None
    assert report.drawn_off is not None
    assert 0 < report.drawn_off < 0.05


def test_int8_without_pictures_says_what_to_give(bundle: Bundle) -> None:
    before = fingerprint(bundle.root)

    with pytest.raises(UsageError, match=r"int8 needs pictures .* give --calibrate with a folder of pictures"):
        build(bundle, "int8")

    assert fingerprint(bundle.root) == before


def test_calibrated_once_built_anywhere(bundle: Bundle, pictures: Path, tmp_path: Path) -> None:
    def built(**settings: Any) -> EngineReport:
        return build(Bundle.load(bundle.root), "int8", max_map_loss=100, **settings)

    first = built(calibrate=pictures)
    again = built(targets=("8.6",))

    assert (first.reused_graph, again.reused_graph) == (False, True)
    assert again.engine.graph == first.engine.graph
    assert again.engine.calibration == first.engine.calibration
    assert [one.compute_capabilities for one in Bundle.load(bundle.root).manifest.engines] == [("8.9",), ("8.6",)]
    assert built(calibrate=pictures).reused_graph
    assert not built(calibrate=pictures, force=True).reused_graph
    assert not built(calibrate=write_pictures(tmp_path / "other", [[(5, 5, "red")], [(9, 9, "blue")]])).reused_graph


def test_int8_is_calibrated_on_the_pictures_it_is_compared_on_where_there_are_no_others(
    bundle: Bundle, pictures: Path
) -> None:
    report = build(bundle, "int8", images=pictures, max_map_loss=100)

    assert report.engine.calibration is not None
    assert report.engine.calibration.num_images == 4


def test_an_engine_of_the_same_name_is_replaced(bundle: Bundle) -> None:
    assert not build(bundle, "fp32").replaced

    report = build(Bundle.load(bundle.root), "fp32", max_batch=2)

    assert report.replaced
    assert [engine.max_batch for engine in Bundle.load(bundle.root).manifest.engines] == [2]


def test_a_model_of_a_fixed_batch_keeps_it(tmp_path: Path, pictures: Path) -> None:
    bundle = square_bundle(tmp_path / "fixed", batch=2)

    report = build(bundle, images=pictures, max_batch=None)

    assert (report.engine.min_batch, report.engine.max_batch) == (2, 2)
    with pytest.raises(UsageError, match="takes batches of 2 only; leave out --max-batch"):
        build(bundle, builder=Broken(AssertionError("built")), max_batch=8)


def test_batches_must_be_in_order(bundle: Bundle) -> None:
    assert build(bundle, "fp32", max_batch=None, opt_batch=32).engine.max_batch == 32
    with pytest.raises(UsageError, match="--opt-batch 8 is larger than --max-batch 4"):
        build(bundle, opt_batch=8)


def test_where_there_is_a_gpu_the_engine_itself_is_compared_and_timed(
    bundle: Bundle, data: Path, on_gpu: Callable[..., OtherBackend]
) -> None:
    backend = on_gpu(shifted(0.5))

    report = build(bundle, images=data, max_batch=8, opt_batch=4, max_map_loss=60)

    parity = Bundle.load(bundle.root).manifest.engines[0].parity
    assert parity is not None
    assert (parity.measured_on, parity.max_box_px) == ("engine", 0.5)
    assert report.engine.gpu == "NVIDIA Test"
    assert list(report.engine.latency_ms) == ["1", "4", "8"]
    assert all(ms > 0 for ms in report.engine.latency_ms.values())
    assert report.why_not_engine == ""
    assert {1, 4, 8} <= set(backend.sizes)


def test_an_engine_that_cannot_be_opened_here_is_compared_by_its_graph(
    bundle: Bundle, data: Path, on_gpu: Callable[..., OtherBackend], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(bundle: Bundle) -> None:
        raise BackendUnavailable("PyCUDA is not installed")

    monkeypatch.setattr(on_gpu(), "open", refuse)

    report = build(bundle, images=data)

    assert report.why_not_engine == "PyCUDA is not installed"
    assert report.parity is not None
    assert report.parity.parity.measured_on == "graph"


def test_only_the_new_engine_is_tried(
    bundle: Bundle, data: Path, on_gpu: Callable[..., OtherBackend], monkeypatch: pytest.MonkeyPatch
) -> None:
    build(bundle, "fp32")
    seen: list[Bundle] = []
    backend = on_gpu()
    opened = backend.open

    def look(trial: Bundle) -> None:
        seen.append(trial)
        opened(trial)

    monkeypatch.setattr(backend, "open", look)

    build(Bundle.load(bundle.root), "fp16", images=data)

    assert [engine.precision for engine in seen[0].manifest.engines] == ["fp16"]
    assert seen[0].root != bundle.root


def test_an_engine_that_loses_too_much_is_not_kept(
    bundle: Bundle, data: Path, on_gpu: Callable[..., OtherBackend]
) -> None:
    on_gpu(blind_to("red", (7, 7)))
    before = fingerprint(bundle.root)

    with pytest.raises(ParityError) as raised:
        build(bundle, images=data)

    assert fingerprint(bundle.root) == before
    assert raised.value.exit_code == 1
    assert "the fp16 engine loses 16.83 points of mAP and may lose 0.5 (100.00 to 83.17 by labels" in str(raised.value)
    assert "000004.png (1 missed" in str(raised.value)
    assert build(bundle, images=data, max_map_loss=17).engine.parity is not None


def test_an_engine_that_sees_other_boxes_in_a_batch_is_not_kept(
    bundle: Bundle, pictures: Path, on_gpu: Callable[..., OtherBackend]
) -> None:
    on_gpu(first_of_batch)
    before = fingerprint(bundle.root)

    with pytest.raises(ParityError, match="as picture 2 of a batch of 4 are not the same"):
        build(bundle, images=pictures, max_map_loss=100)

    assert fingerprint(bundle.root) == before


@pytest.mark.parametrize(
    "error", [BundleError("the library gave up"), KeyboardInterrupt(), BackendUnavailable("no driver")]
)
def test_a_build_that_ends_early_leaves_no_trace(bundle: Bundle, pictures: Path, error: BaseException) -> None:
    before = fingerprint(bundle.root)

    with pytest.raises(type(error)):
        build(bundle, builder=Broken(error), images=pictures)

    assert fingerprint(bundle.root) == before


def test_a_network_that_cannot_be_built_is_called_by_the_name_of_its_bundle(bundle: Bundle) -> None:
    class Refuses(Broken):
        def build(self, request: BuildRequest) -> BuiltEngine:
            raise BundleError(f"{request.onnx}: TensorRT does not take operator 'Foo'")

    with pytest.raises(BundleError, match=r"bundle in fp16: TensorRT does not take operator 'Foo'"):
        build(bundle, builder=Refuses(BundleError()))


def test_a_signal_waits_while_the_folder_is_exchanged(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def copy(source: Path, target: Path) -> None:
        signal.raise_signal(signal.SIGTERM)
        monkeypatch.undo()
        shutil.copyfile(source, target)

    monkeypatch.setattr("engine.bundle.shutil", SimpleNamespace(copyfile=copy))
    build(bundle, "fp32")

    Bundle.load(bundle.root).check_files()
    assert len(Bundle.load(bundle.root).manifest.engines) == 1


def test_a_full_disk_is_a_sentence(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    before = fingerprint(bundle.root)

    def full(*paths: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(paths[1]))

    monkeypatch.setattr("engine.bundle.shutil", SimpleNamespace(copyfile=full))
    with pytest.raises(BundleError, match=r"the engine cannot be written: No space left on device; .*bundle is as it"):
        build(bundle, "fp32")

    monkeypatch.undo()
    assert fingerprint(bundle.root) == before


def test_a_damaged_bundle_is_not_built(bundle: Bundle) -> None:
    bundle.file("onnx").write_bytes(b"other")

    with pytest.raises(BundleError, match="damaged or replaced"):
        build(bundle)


def test_a_bare_model_has_no_place_for_an_engine(bundle: Bundle) -> None:
    bare = Bundle(bundle.file("onnx"), bundle.manifest)
    with pytest.raises(BundleError, match="a bare model has no place for its engine"):
        build(bare)


def test_pictures_that_are_not_there_are_missed_before_anything_is_built(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="nowhere: no such file or folder"):
        build(bundle, images=tmp_path / "nowhere", builder=Broken(AssertionError("built")))


def test_layers_cannot_be_kept_in_the_precision_they_have(bundle: Bundle) -> None:
    with pytest.raises(UsageError, match="--keep-fp32 goes with a lower precision than fp32"):
        build(bundle, "fp32", keep_fp32=("score8",))


DATA = Path(__file__).resolve().parents[4] / "shared" / "data"


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data is absent")
@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_a_real_model_loses_little(tmp_path: Path, precision: str) -> None:
    bundle = Bundle.load(Path(__file__).resolve().parents[3] / "models" / "street-nano").write(tmp_path / "bundle")
    detection = DATA / "detection"

    report = build(
        bundle, precision, max_batch=8, images=detection / "coco_val64_a",
        calibrate=detection / "coco_train128" / "images",
    )  # fmt: skip

    parity = report.engine.parity
    assert parity is not None
    assert (parity.truth, parity.num_images) == ("labels", 64)
    assert parity.map_onnx > 37
    assert parity.map_loss < (0.1 if precision == "fp16" else 1.0)
    Bundle.load(bundle.root).check_files()
