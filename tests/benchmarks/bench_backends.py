"""The backends against each other on a CPU, and the torch backend against its bare module on a GPU.

    python -m tests.benchmarks.bench_backends BUNDLE|FILE.onnx… [--backends onnxruntime,openvino,openvino:bf16,torch]
    python -m tests.benchmarks.bench_backends BUNDLE|FILE.onnx… --device cuda [--precision fp16] [--batch 1,8,32]

CPU: one picture at a time, single-threaded, the process's CPU time: others on the same cores do not count, though what
they do to the caches does. Backends take turns picture by picture; medians, and the ratio to the first.

GPU: batches from 32 simulated cameras, each with pictures of its own in ordinary memory. `bare` replays the module's
CUDA graph on pictures that are on the GPU already, and leaves the outputs there; `ours` is `infer` with all it does:
stacking, upload, the same graph, download. They take turns; the ratio is bare's time to ours. Goal: 0.95.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from engine.bundle import Bundle
from engine.inference import BackendOptions, InferenceBackend, make_backend
from engine.picture import Pixels

CAMERAS = 32


def pictures(bundle: Bundle, count: int) -> list[Pixels]:
    """Make noise, a picture for each camera: what is in it does not change the time."""
    width, height = bundle.manifest.input.size_wh
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (3, height, width), dtype=np.uint8) for _ in range(count)]


def opened(bundle: Bundle, name: str, device: str, precision: str | None, max_batch: int) -> InferenceBackend:
    """Open a backend."""
    backend = make_backend(name, BackendOptions(device, precision, max_batch))
    backend.open(bundle)
    return backend


def on_cpu(bundle: Bundle, names: list[str], rounds: int) -> None:
    """Print a line for each backend."""
    picture = pictures(bundle, 1)[0][None]
    backends = {}
    for name in names:
        kind, _, precision = name.partition(":")
        backends[name] = opened(bundle, kind, "cpu", precision or None, 1)
    times: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds + 3):
        for name, backend in backends.items():
            start = time.process_time()
            backend.infer(picture)
            if turn >= 3:
                times[name].append((time.process_time() - start) * 1000)
    first = float(np.median(times[names[0]]))
    for name in names:
        median = float(np.median(times[name]))
        print(f"{bundle.manifest.name:24}{name:20}{median:10.2f} ms{median / first:8.2f} of {names[0]}")


def on_gpu(bundle: Bundle, precision: str | None, batches: list[int], rounds: int) -> None:
    """Print a line for each batch size."""
    import torch

    from operators.inference_torch import InferenceTorch

    backend = opened(bundle, "torch", "cuda", precision, max(batches))
    assert isinstance(backend, InferenceTorch)
    assert backend._runner is not None
    runner = backend._runner
    cameras = pictures(bundle, CAMERAS)
    for batch in batches:
        turns = [[cameras[(start + i) % CAMERAS] for i in range(batch)] for start in range(0, CAMERAS, batch)]
        replay = runner._runs[batch]

        def bare(replay: Callable[[], object] = replay, turns: list[list[Pixels]] = turns) -> None:
            with torch.inference_mode(), runner._launcher.active():
                for _ in turns:
                    replay()
                runner._launcher.wait()

        def ours(turns: list[list[Pixels]] = turns) -> None:
            for turn in turns:
                backend.infer(np.stack(turn))

        seconds: dict[str, list[float]] = {"bare": [], "ours": []}
        for turn in range(rounds + 3):
            for name, run in (("bare", bare), ("ours", ours)):
                start = time.perf_counter()
                run()
                if turn >= 3:
                    seconds[name].append((time.perf_counter() - start) / (batch * len(turns)))
        pace = {name: 1 / float(np.median(values)) for name, values in seconds.items()}
        print(
            f"{bundle.manifest.name:24}{backend.device} {backend.precision} batch {batch:3}: bare {pace['bare']:9.0f}/s, "
            f"ours {pace['ours']:9.0f}/s, ratio {pace['ours'] / pace['bare']:.2f}"
        )
    print(f"{bundle.manifest.name:24}GPU memory at most {torch.cuda.max_memory_reserved() / 2**20:.0f} MiB")
    backend.close()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--backends", default="onnxruntime,openvino,openvino:bf16,torch,torch:bf16")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--precision")
    parser.add_argument("--batch", default="1,8,32")
    parser.add_argument("--rounds", type=int, default=60)
    arguments = parser.parse_args()
    for model in arguments.models:
        bundle = Bundle.load(model)
        if arguments.device == "cpu":
            on_cpu(bundle, arguments.backends.split(","), arguments.rounds)
        else:
            on_gpu(bundle, arguments.precision, [int(b) for b in arguments.batch.split(",")], arguments.rounds)


if __name__ == "__main__":
    main()
