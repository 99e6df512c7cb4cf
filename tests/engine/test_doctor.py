"""`vedette doctor`: what is there, what is missing and how to get it; `--gpu` tells failed from untried."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from engine import cli, packages, round_trip
from engine.commands import doctor
from engine.errors import UsageError
from engine.gpu import Gpu
from engine.packages import PACKAGES, Package
from engine.round_trip import Step, Trip, exit_code, report, travel, verdict
from tests.engine_rows import tiny_bundle

L4 = Gpu(0, "NVIDIA L4", "8.9", 24 << 30, "13.0", "0000:65:00.0")
ENGINE = {
    "file": {"size": 5_200_000}, "build_s": 1.25, "precision": "fp16", "flavour": "tensorrt_rtx", "version": "1.7.1",
    "compute_capabilities": ["8.9"], "why_not_engine": None, "drawn_off": 0.0021, "parity": None,
}  # fmt: skip
Done = round_trip._Done


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (doctor, round_trip):
        monkeypatch.setattr(module, "gpus", tuple)
        monkeypatch.setattr(module, "why_no_gpu", lambda: "no NVIDIA driver")


@pytest.fixture
def l4(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (doctor, round_trip):
        monkeypatch.setattr(module, "gpus", lambda: (L4,))
        monkeypatch.setattr(module, "why_no_gpu", lambda: "")
    monkeypatch.setattr(doctor, "free_bytes", lambda gpu: 20 << 30)
    monkeypatch.setattr(packages, "version", lambda name: "1.2.3")


def case(backend: str, device: str, **changes: Any) -> dict[str, Any]:
    row = {
        "backend": backend, "device": device, "precision": "fp16", "batch": 8, "reason": None, "failed": False,
        "ms": {"p50": 4.0, "p90": 5.0, "p99": 6.0}, "pictures_s": 2000.0,
    }  # fmt: skip
    return {**row, **changes}


def refused(backend: str, device: str, reason: str, failed: bool) -> dict[str, Any]:
    return {"backend": backend, "device": device, "precision": None, "batch": None, "reason": reason, "failed": failed}


GOOD = [
    case("onnxruntime", "cpu", precision="fp32", pictures_s=80.0),
    case("tensorrt", "cuda:0 (NVIDIA L4)"),
    case("tensorrt", "cuda:0 (NVIDIA L4)", batch=16, pictures_s=2500.0),
    case("onnxruntime", "cuda:0 (NVIDIA L4)"),
    case("torch", "cuda:0 (NVIDIA L4)"),
]
MIXED = [
    *GOOD[:3],
    refused("onnxruntime", "cuda", "this build of ONNX Runtime has no CUDA", failed=False),
    refused("torch", "cuda", "its process ended with SIGSEGV", failed=True),
]


def printed(found: Any) -> Any:
    return Done(0, json.dumps(found), "")


def processes(monkeypatch: pytest.MonkeyPatch, **ends: Any) -> list[list[str]]:
    """Let the processes of the steps end like this, `kernels`, `build` and `bench`; gives what they were called with."""
    well = {"kernels": Done(0, "the same\n", ""), "build": printed(ENGINE), "bench": printed({"cases": GOOD})}
    calls: list[list[str]] = []

    def run(arguments: Sequence[str], timeout_s: float) -> Any:
        calls.append([*arguments])
        step = "kernels" if "engine" not in arguments else "build" if "build" in arguments else "bench"
        return {**well, **ends}[step]

    monkeypatch.setattr(round_trip, "_run", run)
    return calls


def go(tmp_path: Path, **changes: Any) -> dict[str, Step]:
    trip = Trip(tiny_bundle(tmp_path / "tiny").root, **changes)
    return {step.name: step for step in travel(trip)}


def test_lists_what_is_there_and_what_is_not(capfd: pytest.CaptureFixture[str], no_gpu: None) -> None:
    assert cli.main(["doctor"]) == 0
    out = capfd.readouterr().out

    assert "GPU: none: no NVIDIA driver\n" in out
    assert f"  onnxruntime              {packages.version('onnxruntime')}" in out


@pytest.mark.usefixtures("l4")
def test_describes_a_gpu(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor"]) == 0
    assert (
        "GPU 0: NVIDIA L4, compute capability 8.9, 24.0 GiB, 20.0 free; driver for CUDA 13.0\n"
        in capfd.readouterr().out
    )


def test_json_says_what_to_install(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, no_gpu: None
) -> None:
    monkeypatch.setattr(packages, "version", lambda name: None)
    assert cli.main(["doctor", "--json"]) == 0
    found = json.loads(capfd.readouterr().out)

    assert (found["gpus"], found["why_no_gpu"]) == ([], "no NVIDIA driver")
    assert found["packages"]["pycuda"] == {
        "version": None,
        "for": "`backend: tensorrt`: memory and streams of the GPU",
        "extra": "gpu",
        "install": "pip install 'vedette[gpu]'",
    }


def test_every_extra_that_is_named_exists() -> None:
    import tomllib

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert {one.extra for one in PACKAGES if one.extra} <= set(project["optional-dependencies"])


def test_a_package_has_the_version_of_whichever_name_is_installed() -> None:
    assert Package(("no-such-thing", "numpy"), "").version == packages.version("numpy")
    assert Package(("no-such-thing",), "").version is None


def test_a_package_of_the_core_is_not_an_extra() -> None:
    assert Package(("av",), "").remedy == "reinstall vedette"
    assert Package(("x",), "", install="pip install x").remedy == "pip install x"


@pytest.mark.parametrize(
    ("line", "cuda"),
    [("cuda: Optional[str] = '13.0'", "13.0"), ("cuda: Optional[str] = None", None), ("cuda = '12.6'", "12.6")],
)
def test_knows_the_cuda_of_pytorch_without_importing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, cuda: str | None
) -> None:
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("raise AssertionError")
    (tmp_path / "torch" / "version.py").write_text(f"__version__ = '2.13.0'\n{line}\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "torch", raising=False)

    assert packages.torch_cuda() == cuda


@pytest.mark.parametrize("options", [["models/x"], ["--out", "report.json"], ["--images", "street"]])
def test_what_belongs_to_gpu_goes_with_it(options: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", *options]) == 2
    assert "a bundle, --images and --out go with --gpu" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("changes", "why"),
    [({"precision": "fp8"}, "--precision fp8: expected one of fp32, fp16"), ({"precision": "int8"}, "give --images")],
)
def test_a_trip_that_makes_no_sense_is_refused(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        Trip(Path("x"), **changes)


@pytest.mark.usefixtures("l4")
def test_a_machine_on_which_everything_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = processes(monkeypatch)
    steps = go(tmp_path, images=Path("street"))

    assert {step.verdict for step in steps.values()} == {"passed"}
    assert steps["GPU"].text == "NVIDIA L4, compute capability 8.9; the driver runs CUDA 13.0"
    assert steps["engine build"].text == ("fp16, tensorrt_rtx 1.7.1, for compute capability 8.9, 5.2 MB in 1.2 s")
    assert steps["parity"].text == "raw outputs 0.21 % off on drawn pictures"
    assert steps["tensorrt on cuda"].text == ("2500 pictures/s in batches of 16, p99 6.0 ms, fp16, cuda:0 (NVIDIA L4)")
    assert exit_code([*steps.values()]) == 0
    assert verdict([*steps.values()]) == "everything that Vedette does on a GPU works on this machine"
    assert calls[1][-3:] == ["--images", "street", "--json"]
    assert calls[2][5:9] == ["--backends", "onnxruntime,tensorrt,torch", "--device", "cpu,cuda"]


@pytest.mark.usefixtures("l4")
def test_what_fails_is_told_from_what_could_not_be_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    processes(monkeypatch, bench=printed({"cases": MIXED}))
    steps = go(tmp_path)

    assert str(steps["torch on cuda"]).startswith("failed        torch on cuda        its process ended with SIGSEGV")
    assert str(steps["onnxruntime on cuda"]).startswith("not possible  onnxruntime on cuda  this build of ONNX Runtime")
    assert exit_code([*steps.values()]) == 1
    assert verdict([*steps.values()]) == "failed: torch on cuda; unproven on this machine: onnxruntime on cuda"


@pytest.mark.usefixtures("l4")
def test_other_ways_than_tensorrt_are_not_required() -> None:
    without = Step("onnxruntime on cuda", "not possible", "no such build", required=False)

    assert exit_code([Step("GPU", "passed", ""), without]) == 0


@pytest.mark.usefixtures("l4")
def test_labels_or_what_the_model_sees_say_how_far_an_engine_is_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parity = {"map_onnx": 44.12, "map_engine": 44.03, "num_images": 64}
    processes(monkeypatch, build=printed({**ENGINE, "parity": parity}))

    assert go(tmp_path)["parity"].text == "mAP 44.12 -> 44.03 in 64 pictures"


@pytest.mark.usefixtures("l4")
@pytest.mark.parametrize("code", [1, 3, -11])
def test_a_step_that_fails_on_a_gpu_has_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    bad = Done(code, "", "it fell over")
    processes(monkeypatch, kernels=bad, build=bad, bench=bad)
    steps = go(tmp_path)

    assert str(steps["kernels"]) == "failed        kernels              it fell over"
    assert steps["engine build"].verdict == steps["tensorrt on cuda"].verdict == "failed"
    assert str(steps["parity"]) == "not possible  parity               there is no engine"


@pytest.mark.usefixtures("l4")
def test_missing_packages_are_named_with_what_brings_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "version", lambda name: None)
    lacking = Done(3, "", "no PyCUDA")
    processes(monkeypatch, kernels=lacking, build=lacking)
    steps = go(tmp_path)

    assert steps["packages"].text == (
        "without pycuda, nvidia-cuda-nvrtc, tensorrt or tensorrt-rtx-cu13: pip install 'vedette[gpu]', "
        "pip install 'vedette[tensorrt]' or pip install 'vedette[tensorrt-rtx]'"
    )
    assert steps["kernels"].verdict == steps["engine build"].verdict == "not possible"


@pytest.mark.usefixtures("no_gpu")
def test_without_a_gpu_an_engine_is_built_ahead_of_time_and_the_rest_is_unproven(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = {**ENGINE, "why_not_engine": "no NVIDIA driver"}
    calls = processes(
        monkeypatch,
        kernels=Done(3, "", "no NVIDIA driver"),
        build=printed(built),
        bench=printed({"cases": GOOD[:1]}),
    )
    steps = go(tmp_path)

    assert calls[1][7:11] == ["--flavour", "tensorrt_rtx", "--gpu", "sm_89"]
    assert [name for name, step in steps.items() if step.verdict == "passed" and name != "packages"] == [
        "engine build", "onnxruntime on cpu",
    ]  # fmt: skip
    assert steps["parity"].text == ("no NVIDIA driver; in ONNX Runtime: raw outputs 0.21 % off on drawn pictures")
    assert steps["tensorrt on cuda"].text == "no NVIDIA driver"
    assert exit_code([*steps.values()]) == 3


@pytest.mark.usefixtures("no_gpu")
def test_the_report_has_the_facts_and_every_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    processes(monkeypatch, bench=printed({"cases": GOOD[:1]}))
    out = tmp_path / "report.json"
    bundle = tiny_bundle(tmp_path / "tiny").root
    code = cli.main(["doctor", "--gpu", str(bundle), "--out", str(out)])

    said = capfd.readouterr().out
    found = json.loads(out.read_text(encoding="utf-8"))
    assert code == 3
    assert said.splitlines()[-1] == found["verdict"]
    assert [step["name"] for step in found["steps"]][:5] == ["GPU", "packages", "kernels", "engine build", "parity"]
    assert found["packages"]["pycuda"]["extra"] == "gpu"
    assert not (bundle / "engines").exists()


def test_the_report_keeps_what_was_measured(tmp_path: Path) -> None:
    steps = [Step("tensorrt on cuda", "passed", "fast", [{"batch": 1}])]

    assert report(Trip(tmp_path), steps)["steps"][0]["facts"] == [{"batch": 1}]


@pytest.mark.parametrize(
    ("code", "done"),
    [
        ("print('fine')", Done(0, "fine\n", "exit code 0")),
        ("import sys; sys.exit('vedette: no such model')", Done(1, "", "no such model")),
        ("import os; os.abort()", Done(-6, "", "its process ended with SIGABRT")),
        ("import time; time.sleep(60)", Done(1, "", "no end within 1 s")),
        (
            "import engine, os; print(os.path.dirname(engine.__file__))",
            Done(0, f"{Path(cli.__file__).parent}\n", "exit code 0"),
        ),
    ],
)
def test_a_step_ends_whatever_happens_in_it(
    code: str, done: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert round_trip._run(["-c", code], 1.0) == done


@pytest.mark.slow
@pytest.mark.skipif(os.environ.get("MUST_HAVE_GPU") == "1", reason="the way of a machine without a GPU")
@pytest.mark.usefixtures("no_gpu")
def test_the_way_of_a_machine_without_a_gpu_for_real() -> None:
    steps = {step.name: step for step in travel(Trip(Path(__file__).parents[2] / "models" / "street-nano"))}

    assert steps["engine build"].verdict == "passed", steps["engine build"].text
    assert steps["onnxruntime on cpu"].verdict == "passed", steps["onnxruntime on cpu"].text
    assert steps["kernels"].verdict == steps["parity"].verdict == "not possible"
