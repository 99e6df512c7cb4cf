"""Which cameras share a host, and what becomes of them when it dies. No Ray, no clock: a policy that can be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace

# A host that ran this long before it died is not taken for one that a camera kills.
FORGIVEN_AFTER_S = 600.0
# So many deaths show that it is no accident.
DEATHS_TO_SPLIT = 2
# A recording ends the run when it is through, so one that kills its host cannot be tried for ever.
DEATHS_TO_GIVE_UP = 3
FIRST_RETRY_S = 0.5
LONGEST_RETRY_S = 30.0


@dataclass(frozen=True)
class Group:
    """Cameras that share a host.

    Attributes:
        cameras: their names.
        workers: threads of the host.
        deaths: how often a host of exactly these cameras has died.
        wait_s: before the next host is started.
    """

    cameras: tuple[str, ...]
    workers: int = 1
    deaths: int = 0
    wait_s: float = 0.0


def divide(cameras: Sequence[str], num_hosts: int, num_cores: int) -> list[Group]:
    """Deal cameras to hosts in turn, and cores to hosts so that threads and cores are the same number.

    Hosts without a camera are left out; a host has at least one thread.
    """
    num_hosts = max(1, min(num_hosts, len(cameras)))
    cores, more = divmod(num_cores, num_hosts)
    return [Group(tuple(cameras[n::num_hosts]), max(1, cores + (n < more))) for n in range(num_hosts)]


def after_death(
    group: Group, ran_s: float, finished: Set[str], lives: Mapping[str, bool]
) -> tuple[list[Group], list[str]]:
    """Say which hosts take over from a dead one.

    A group that dies twice is split, one host a camera: who is to blame shows by itself, since it goes on dying
    alone, ever less often, while the others go on. A recording that is alone and goes on dying is given up.

    Args:
        group: whose host died.
        ran_s: how long that host ran.
        finished: cameras that need no host any more.
        lives: which cameras are live.

    Returns:
        The groups to start, and the cameras that are given up.
    """
    cameras = tuple(name for name in group.cameras if name not in finished)
    deaths = 1 if ran_s >= FORGIVEN_AFTER_S else group.deaths + 1
    if not cameras:
        return [], []
    if len(cameras) > 1 and deaths >= DEATHS_TO_SPLIT:
        workers = max(1, group.workers // len(cameras))
        return [Group((name,), workers) for name in cameras], []
    if len(cameras) == 1 and deaths >= DEATHS_TO_GIVE_UP and not lives[cameras[0]]:
        return [], list(cameras)
    wait_s = min(LONGEST_RETRY_S, FIRST_RETRY_S * 2 ** (deaths - 1))
    return [replace(group, cameras=cameras, deaths=deaths, wait_s=wait_s)], []
