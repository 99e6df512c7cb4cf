"""Builders of what a manifest says about TensorRT engines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine.bundle import Bundle, Manifest, write_bundle
from engine.file_entry import FileEntry
from engine.input_spec import InputSpec
from engine.trt_engine import TrtEngine, TrtMachine, TrtTensor
from tests.tiny_models import save_yolox

ONNX = "a" * 64
MACHINE = TrtMachine(flavour="tensorrt", version="10.15.1.29", capability="8.9", platform="Linux x86_64")


def trt_engine(**changes: Any) -> TrtEngine:
    """Describe an engine that fits MACHINE, with changes."""
    row: dict[str, Any] = {
        "file": FileEntry(path="engines/a.engine", sha256="b" * 64, size=1),
        "log": FileEntry(path="engines/a.log", sha256="c" * 64, size=1),
        "flavour": MACHINE.flavour,
        "version": MACHINE.version,
        "platform": MACHINE.platform,
        "compute_capabilities": (MACHINE.capability,),
        "precision": "fp16",
        "min_batch": 1,
        "opt_batch": 4,
        "max_batch": 8,
        "inputs": (TrtTensor(name="images", shape=(-1, 3, 64, 64), dtype="float32"),),
        "outputs": (TrtTensor(name="output", shape=(-1, 84, 7), dtype="float32"),),
        "onnx_sha256": ONNX,
    }
    return TrtEngine(**{**row, **changes})


def tiny_bundle(folder: Path) -> Bundle:
    """Make a bundle of a tiny model that sees blue and red squares."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    onnx = save_yolox(folder.parent / "tiny.onnx")
    manifest = Manifest(
        name="tiny", family="yolox", labels=("blue", "red"), input=InputSpec(size_wh=(64, 64)), files={}
    )  # fmt: skip
    return write_bundle(folder, manifest, {"onnx": onnx})


def add_engine(bundle: Bundle, folder: Path, name: str = "a", data: bytes = b"engine", **changes: Any) -> Bundle:
    """Put an engine of these bytes into a bundle."""
    file, log = folder / f"{name}.engine", folder / f"{name}.log"
    file.write_bytes(data)
    log.write_text("built\n", encoding="utf-8")
    entries = {one: FileEntry.of(one, f"engines/{one.name}") for one in (file, log)}
    row = {"onnx_sha256": bundle.manifest.files["onnx"].sha256, "file": entries[file], "log": entries[log], **changes}
    return bundle.add_engine(trt_engine(**row), {entry.path: one for one, entry in entries.items()})
