"""A Ray cluster: one of our own on this machine, or one that runs already; and calls that always end.

Ray reads its environment when it is imported, so nothing imports it at the top of a module that is loaded before
`connect()`.

Every node of a cluster needs Vedette itself, of the same version and for the same Python; one's own modules travel.
Files (models, recordings) must be found on the nodes under the same path. A cluster's token is RAY_AUTH_TOKEN.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from engine.errors import ClusterError, VedetteError
from engine.redact import redact

logger = logging.getLogger(__name__)

# What an actor reserves. A reservation is bookkeeping, it limits nothing: threads are divided by us. It is small so
# that many hosts start on two cores, and two sites on one cluster; Ray spreads them over the nodes by its own choice.
ACTOR_CPUS = 0.05
# Tensors on their way to a detector are all that goes through the store.
OBJECT_STORE_BYTES = 128 << 20
TCP_TIMEOUT_S = 3.0


@dataclass(frozen=True)
class Limits:
    """How long we wait for what Ray was asked for.

    Attributes:
        place_s: until an actor has found a node and its process has started.
        open_s: until it has loaded its models and opened its operators.
        answer_s: until a running actor answers; one that does not is taken for dead.
        stop_s: until the cameras of a host have ended; after that it is killed.
    """

    place_s: float = 30.0
    open_s: float = 120.0
    answer_s: float = 20.0
    stop_s: float = 5.0


class ActorLost(ClusterError):
    """The process of an actor has ended, or does not answer."""


@contextlib.contextmanager
def connect(address: str | None = None) -> Iterator[None]:
    """Have a cluster: the one this process has already, else the one at `address`, else one of our own.

    Args:
        address: `host:port`, `auto` for the one on this machine, or `ray://host:port`; the environment variable
            RAY_ADDRESS stands in for it. None starts a cluster that only this machine can reach, with a token of its
            own, and ends it afterwards. A cluster that we joined is left alone.

    Raises:
        ClusterError: it cannot be reached or started.
    """
    if "ray" in sys.modules and sys.modules["ray"].is_initialized():
        yield
        return
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    handlers = _signal_handlers()
    folder = None
    try:
        if address == "local":
            folder = _start()
        else:
            _join(address)
        # Ray puts its own handler over ours, which would end the run without a summary.
        _restore(handlers)
        yield
    finally:
        _leave()
        _restore(handlers)
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def get(ref: Any, timeout_s: float, what: str, wanted: Mapping[str, float] | None = None) -> Any:
    """Wait for the answer of an actor, and no longer than `timeout_s`.

    Args:
        ref: what the call gave.
        timeout_s: the time limit.
        what: who is asked, as the message should begin.
        wanted: the resources that the actor needs, for the message.

    Raises:
        ActorLost: its process has ended.
        ClusterError: it does not answer in time; the message names wanted and available resources.
        VedetteError: what the actor itself raised.
    """
    import ray
    from ray.exceptions import GetTimeoutError, RayError, RayTaskError

    try:
        return ray.get(ref, timeout=timeout_s)
    except GetTimeoutError:
        needs = "" if wanted is None else f"; wanted: {show_resources(wanted)}; {available()}"
        raise ClusterError(f"{what}: no answer within {timeout_s:g} s{needs}") from None
    except RayTaskError as error:
        cause = error.cause
        if isinstance(cause, VedetteError):
            raise cause from None
        raise ClusterError(redact(f"{what}: {type(cause).__name__}: {cause}")) from None
    except RayError as error:
        raise ActorLost(f"{what}: {why_lost(error)}") from None


def why_lost(error: BaseException) -> str:
    """Say in a few words why Ray lost an actor."""
    text = str(error)
    for pattern, words in (
        (r"OutOfMemory|memory pressure|memory monitor", "its process used too much memory and was killed"),
        (r"exit code[: ]+(-?\d+)", "its process ended with exit code {0}"),
        (r"temporarily unavailable", "its process died and is being started again"),
        (r"worker process has died|died unexpectedly|End of file|SYSTEM_ERROR", "its process died"),
        (r"ray\.kill|killed by", "its process was killed"),
        (r"node", "its node is gone"),
    ):
        if match := re.search(pattern, text):
            return words.format(*match.groups())
    return f"its process ended ({type(error).__name__})"


def show_resources(resources: Mapping[str, float]) -> str:
    """Write resources as `0.05 CPU, 1 GPU`."""
    return ", ".join(f"{round(amount, 2):g} {name}" for name, amount in sorted(resources.items())) or "nothing"


def available() -> str:
    """Say what the cluster has left: `available: 1.8 of 2 CPU, 0 of 0 GPU`."""
    import ray

    try:
        left, total = cast(Any, ray.available_resources)(), cast(Any, ray.cluster_resources)()
    except Exception as error:
        return f"available: unknown, the cluster does not answer ({type(error).__name__})"
    names = sorted({"CPU", "GPU", *(n for n in total if not re.match(r"node:|memory|object_store_memory", n))})
    return "available: " + ", ".join(f"{round(left.get(n, 0.0), 2):g} of {total.get(n, 0.0):g} {n}" for n in names)


def wanted_resources(num_gpus: float) -> dict[str, float]:
    """Give what an actor reserves."""
    return {"CPU": ACTOR_CPUS, **({"GPU": num_gpus} if num_gpus else {})}


def actor_options(wanted: Mapping[str, float]) -> dict[str, Any]:
    """Give Ray's options for an actor that reserves this, and that may run on any node."""
    return {"num_cpus": wanted["CPU"], "num_gpus": wanted.get("GPU", 0), "scheduling_strategy": "SPREAD"}


def num_cores() -> int:
    """Cores of the whole cluster, at least 1."""
    import ray

    return max(1, int(cast(Any, ray.cluster_resources)().get("CPU", 1)))


def num_nodes() -> int:
    """Nodes that are up."""
    import ray

    return sum(node["Alive"] for node in cast(Any, ray.nodes)())


def num_free_gpus() -> int:
    """Whole GPUs that nobody has reserved."""
    import ray

    return int(cast(Any, ray.available_resources)().get("GPU", 0))


def local_environment() -> None:
    """Set what a cluster of our own needs in the environment; has no effect once Ray has been imported."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Every socket on 127.0.0.1: a cluster that runs what it is sent has no business on the network.
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    if "RAY_AUTH_MODE" not in os.environ:
        # A token of this run's own: left alone, Ray would write one into the home folder.
        os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))


def _start() -> str:
    local_environment()
    ray = _import_ray()
    # Unix sockets have short names, so their folder must have one too.
    parent = tempfile.gettempdir() if len(tempfile.gettempdir()) <= 30 else "/tmp"
    folder = tempfile.mkdtemp(prefix="vedette-", dir=parent)
    try:
        ray.init(
            address="local", num_cpus=len(os.sched_getaffinity(0)), include_dashboard=False, log_to_driver=False,
            object_store_memory=OBJECT_STORE_BYTES, _temp_dir=folder, logging_level=logging.ERROR,
            configure_logging=False,
        )  # fmt: skip
    except Exception as error:
        _leave()
        shutil.rmtree(folder, ignore_errors=True)
        raise ClusterError(f"Ray could not be started on this machine: {_first_line(error)}") from None
    return folder


def _join(address: str) -> None:
    _check_reachable(address)
    # Left alone, Ray tries for two minutes; a cluster that answers does so at once.
    for name, value in (("RAY_py_gcs_connect_timeout_s", "3"), ("RAY_gcs_rpc_server_connect_timeout_s", "3"),
                        ("RAY_NUM_REDIS_GET_RETRIES", "1")):  # fmt: skip
        os.environ.setdefault(name, value)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray = _import_ray()
    try:
        with _no_stderr():
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False)
    except Exception as error:
        _leave()
        raise ClusterError(f"--ray-address {address}: {_why_not_joined(error)}") from None


def _check_reachable(address: str) -> None:
    """Ask for a connection first: Ray itself takes minutes to find out that nobody listens."""
    if address == "auto":
        return
    match = re.fullmatch(r"(?:ray://)?\[?(?P<host>[^\]/]+?)\]?:(?P<port>\d{1,5})", address)
    if match is None:
        raise ClusterError(f"--ray-address {address}: expected host:port, ray://host:port or auto")
    try:
        socket.create_connection((match["host"], int(match["port"])), TCP_TIMEOUT_S).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ClusterError(
            f"--ray-address {address}: cannot be reached ({reason.lower()}); `ray status` on the head node shows the "
            "address of a cluster that runs"
        ) from None


def _why_not_joined(error: BaseException) -> str:
    seen: list[str] = []
    cause: BaseException | None = error
    while cause is not None:
        seen.append(f"{type(cause).__name__}: {cause}")
        cause = cause.__cause__ or cause.__context__
    text = "\n".join(seen)
    if "AuthenticationError" in text or "InvalidAuthToken" in text:
        return "the cluster refuses our token; set RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH to the cluster's own"
    if "Could not find any running Ray" in text:
        return "no cluster runs on this machine; leave the option out and Vedette starts one"
    if "Version mismatch" in text:
        return f"the cluster runs another version: {_first_line(error)}"
    return (
        f"no Ray cluster answers there ({_first_line(error)}); run Vedette on one of its nodes, or use ray://host:port"
    )


def _import_ray() -> Any:
    # Ray prints what its nodes complain about to standard output, where events may go; we say it in our own words.
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")
    import ray

    # Its own loggers would repeat each failed call as a traceback.
    logging.getLogger("ray").setLevel(logging.ERROR)
    return ray


def _leave() -> None:
    if "ray" in sys.modules:
        sys.modules["ray"].shutdown()


def _first_line(error: BaseException) -> str:
    return redact(next((line for line in str(error).splitlines() if line.strip()), type(error).__name__))


def _signal_handlers() -> dict[int, Any]:
    if threading.current_thread() is not threading.main_thread():
        return {}
    return {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}


def _restore(handlers: dict[int, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)


@contextlib.contextmanager
def _no_stderr() -> Iterator[None]:
    """Keep the lines of Ray's C++ part from the terminal while joining: the reason follows in one sentence."""
    try:
        kept = os.dup(2)
    except OSError:
        yield
        return
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
