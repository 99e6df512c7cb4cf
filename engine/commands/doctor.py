"""`vedette doctor`: what this machine can do, and what to install for the rest."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from engine.cli import ROOMS, room_folders
from engine.default_model import find_default_model
from engine.errors import UsageError
from engine.gpu import Gpu, free_bytes, gpus, why_no_gpu
from engine.packages import PACKAGES, torch_cuda, version
from engine.round_trip import Trip, exit_code, report, travel

_GIB = 1 << 30


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(doctor)


def doctor(
    bundle: Annotated[
        Path | None, typer.Argument(metavar="[BUNDLE]", help="With --gpu: the model; default: street-nano.")
    ] = None,
    gpu: Annotated[bool, typer.Option("--gpu", help="Prove the GPU: kernels, build, parity, benchmark.")] = False,
    precision: Annotated[str, typer.Option(help="With --gpu: of the TensorRT engine.")] = "fp16",
    images: Annotated[Path | None, typer.Option(metavar="DATA", help="With --gpu: to compare on.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="REPORT.json", help="With --gpu: write everything.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what this machine can do, and what to install for the rest.

    With --gpu, take a model all the way that GPUs need and say what works: exit code 1 where something failed, 3 where
    something could not be tried. Nothing is changed; it works on a copy.
    """
    if not gpu:
        if bundle is not None or images is not None or out is not None:
            raise UsageError("a bundle, --images and --out go with --gpu")
        facts = gather()
        print(json.dumps(facts, indent=2) if as_json else _describe(facts))
        return
    trip = Trip(Path(bundle or find_default_model()), precision, images)
    steps = []
    for step in travel(trip):
        steps.append(step)
        if not as_json:
            print(step, flush=True)
    found = {**gather(), **report(trip, steps)}
    if out is not None:
        partial = out.with_name(f".{out.name}.partial")
        partial.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
        partial.replace(out)
    print(json.dumps(found, indent=2) if as_json else found["verdict"])
    raise typer.Exit(exit_code(steps))


def gather() -> dict[str, Any]:
    """Collect the facts."""
    folders = {str(folder) for folder in room_folders().values()}
    pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "vedette": version("vedette") or "from source",
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(pages / _GIB, 1),
        "gpus": [{**asdict(one), "free_bytes": free_bytes(one)} for one in gpus()],
        "why_no_gpu": why_no_gpu() or None,
        "torch_cuda": torch_cuda(),
        "rooms": f"{', '.join(ROOMS)} share one folder" if len(folders) == 1 else f"clash: {sorted(folders)}",
        "packages": {
            one.names[0]: {"version": one.version, "for": one.what, "extra": one.extra, "install": one.remedy}
            for one in PACKAGES
        },
    }


def describe_gpu(gpu: Gpu, free: int | None) -> str:
    """Put a GPU into a line."""
    memory = f"{gpu.memory_bytes / _GIB:.1f} GiB" + ("" if free is None else f", {free / _GIB:.1f} free")
    return f"GPU {gpu.index}: {gpu.name}, compute capability {gpu.capability}, {memory}; driver for CUDA {gpu.driver}"


def _describe(facts: dict[str, Any]) -> str:
    lines = [
        f"vedette {facts['vedette']}, Python {facts['python']}, {facts['system']}",
        f"{facts['cores']} core(s), {facts['memory_gb']:.0f} GB of memory",
        *(describe_gpu(one, free_bytes(one)) for one in gpus()),
        *([f"GPU: none: {facts['why_no_gpu']}"] if facts["why_no_gpu"] else []),
        f"rooms: {facts['rooms']}",
    ]
    for name, package in facts["packages"].items():
        note = f": {package['install']}" if package["version"] is None else ""
        if name == "torch" and package["version"]:
            note = f" (this build: {'CUDA ' + facts['torch_cuda'] if facts['torch_cuda'] else 'CPU only'})"
        lines.append(f"  {name:24} {package['version'] or 'missing':14} {package['for']}{note}")
    return "\n".join(lines)
