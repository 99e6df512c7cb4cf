"""GPUs are found by asking a driver in another process; whatever it answers, this process and its children are well."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.gpu import Gpu, gpus, why_no_gpu

# Answers as it is told: what is asked of a driver before any context is made.
DRIVER = r"""
#include <stdlib.h>
#include <string.h>
static int told(const char *name) { const char *text = getenv(name); return text ? atoi(text) : 0; }
int cuInit(unsigned flags) { if (told("TOLD_CRASH")) abort(); return flags ? 1 : told("TOLD_INIT"); }
int cuDriverGetVersion(int *version) { *version = 12090; return 0; }
int cuDeviceGetCount(int *count) { *count = told("TOLD_COUNT"); return 0; }
int cuDeviceGet(int *device, int index) { *device = index; return told("TOLD_DEVICE"); }
int cuDeviceGetName(char *name, int size, int device) { strncpy(name, device ? "NVIDIA L40S" : "NVIDIA L4", size); return 0; }
int cuDeviceGetAttribute(int *value, int attribute, int device) { (void)device; *value = attribute == 75 ? 8 : 9; return 0; }
int cuDeviceTotalMem_v2(size_t *bytes, int device) { *bytes = (device + 1) * 24000000000UL; return 0; }
int cuDeviceGetPCIBusId(char *id, int size, int device) { strncpy(id, device ? "0000:66:00.0" : "0000:65:00.0", size); return 0; }
"""
NVML = r"""
#include <string.h>
int nvmlInit_v2(void) { return 0; }
int nvmlShutdown(void) { return 0; }
int nvmlDeviceGetHandleByPciBusId_v2(const char *id, void **device) { *device = (void *)1; return strcmp(id, "0000:65:00.0") ? 6 : 0; }
int nvmlDeviceGetMemoryInfo(void *device, unsigned long long *memory) { (void)device; memory[1] = 20000000000ULL; return 0; }
"""
ASK = """
import json, os
from dataclasses import asdict
from engine.gpu import free_bytes, gpus, why_no_gpu
found = gpus()
print(json.dumps({"gpus": [asdict(g) for g in found], "free": [free_bytes(g) for g in found], "why": why_no_gpu()}))
"""


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("driver")
    compiler = shutil.which("gcc") or shutil.which("cc")
    assert compiler, "the tests need a C compiler: apt-get install gcc"
    for name, source in (("libcuda.so.1", DRIVER), ("libnvidia-ml.so.1", NVML)):
        subprocess.run(
            [compiler, "-shared", "-fPIC", "-x", "c", "-", "-o", str(folder / name)],
            input=source,
            text=True,
            check=True,
        )
    return folder


def ask(driver: Path, **told: str) -> dict[str, Any]:
    environment = {key: value for key, value in os.environ.items() if key != "CUDA_VISIBLE_DEVICES"}
    done = subprocess.run(
        [sys.executable, "-c", ASK],
        env={**environment, "LD_LIBRARY_PATH": str(driver), **told},
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_gives_what_the_driver_says_of_each(driver: Path) -> None:
    answer = ask(driver, TOLD_COUNT="2")

    l4 = Gpu(0, "NVIDIA L4", "8.9", 24_000_000_000, "12.9", "0000:65:00.0")
    l40s = Gpu(1, "NVIDIA L40S", "8.9", 48_000_000_000, "12.9", "0000:66:00.0")
    assert [Gpu(**one) for one in answer["gpus"]] == [l4, l40s]
    assert answer["why"] == ""


def test_tells_free_memory_where_nvml_does(driver: Path) -> None:
    assert ask(driver, TOLD_COUNT="2")["free"] == [20_000_000_000, None]


def test_free_memory_is_unknown_without_nvml(driver: Path, tmp_path: Path) -> None:
    shutil.copy(driver / "libcuda.so.1", tmp_path)

    assert ask(tmp_path, TOLD_COUNT="1")["free"] == [None]


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({"TOLD_INIT": "803"}, "cuInit: driver and library are of different versions; restart the machine"),
        ({"TOLD_INIT": "999"}, "cuInit: unknown; most often driver and library are of different versions"),
        ({"TOLD_INIT": "804"}, "update the driver or remove it (CUDA error 804)"),
        ({"TOLD_INIT": "34"}, "is the toolkit's stub and no driver"),
        ({"TOLD_INIT": "802"}, "start the Fabric Manager"),
        ({"TOLD_INIT": "101"}, "CUDA_VISIBLE_DEVICES names a GPU that is not there"),
        ({"TOLD_INIT": "46"}, "cuInit: see `nvidia-smi` and `dmesg` (CUDA error 46)"),
        ({"TOLD_INIT": "100"}, "libcuda.so.1 is here, but no /dev/nvidia*"),
        ({"TOLD_COUNT": "0"}, "libcuda.so.1 is here, but no /dev/nvidia*"),
        ({"TOLD_COUNT": "0", "CUDA_VISIBLE_DEVICES": ""}, "CUDA_VISIBLE_DEVICES='' leaves none"),
        ({"TOLD_COUNT": "1", "TOLD_DEVICE": "101"}, "the NVIDIA driver failed: cuDeviceGet: "),
        ({"TOLD_CRASH": "1"}, "asking the NVIDIA driver ended a process with SIGABRT"),
    ],
)
@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="the sentences of a machine without a GPU")
def test_says_why_there_is_none(driver: Path, told: dict[str, str], why: str) -> None:
    answer = ask(driver, **told)

    assert answer["gpus"] == []
    assert why in answer["why"]


def test_a_library_that_is_damaged_is_no_driver(tmp_path: Path) -> None:
    (tmp_path / "libcuda.so.1").write_bytes(b"not a library")

    assert "no NVIDIA driver that can be loaded: " in ask(tmp_path)["why"]


@pytest.mark.skipif(Path("/proc/driver/nvidia/version").exists(), reason="there is a driver")
def test_a_machine_without_a_driver_says_so_at_once() -> None:
    assert gpus() == ()
    assert why_no_gpu() == "no NVIDIA driver: there is no libcuda.so.1"


def test_asks_again_when_other_gpus_are_made_visible(driver: Path) -> None:
    # Ray sets it when an actor begins, in a process that may have asked before.
    change = "os.environ['CUDA_VISIBLE_DEVICES'] = ''; os.environ['TOLD_COUNT'] = '0'; print(len(gpus()), why_no_gpu())"
    environment = {key: value for key, value in os.environ.items() if key != "CUDA_VISIBLE_DEVICES"}
    done = subprocess.run(
        [sys.executable, "-c", ASK + change],
        env={**environment, "LD_LIBRARY_PATH": str(driver), "TOLD_COUNT": "1"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert done.stdout.splitlines()[1].startswith("0 CUDA_VISIBLE_DEVICES=''")


def test_the_first_gpu_can_be_used(gpu: Gpu) -> None:
    assert gpu.index == 0
    assert gpu.memory_bytes > 1 << 30
    assert float(gpu.capability) >= 5
