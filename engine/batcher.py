"""Batches in front of a device: packets of many cameras wait together while it is busy.

A batch is whatever has come by the time the device is free. Nothing waits for a batch to fill: an idle device takes one
packet at once, a busy one finds many. Each copy of the operator has one batch in its hands at a time, so several
operators that share a device take turns by themselves: none can put more than its copies' batches before another's.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Sequence

from engine.errors import DeviceLost, OperatorError, VedetteError
from engine.operator import BatchOperator
from engine.packet import Packet

logger = logging.getLogger(__name__)

Answered = Callable[[Packet | Exception], None]
"""Told what became of a packet: what the operator made of it, or why it could not."""

# While one copy computes, the other one prepares a batch or looks at results: a third would find nothing to do.
NUM_COPIES = 2


def open_copies(open_one: Callable[[], BatchOperator], num_threads: int) -> list[BatchOperator]:
    """Open as many copies of an operator as can be of use: two for a device of its own, one a thread for the cores.

    Raises:
        VedetteError: one cannot be opened; those that were are closed.
    """
    copies = [open_one()]
    try:
        while len(copies) < (NUM_COPIES if copies[0].own_device else num_threads):
            copies.append(open_one())
    except VedetteError:
        for copy in copies:
            copy.close()
        raise
    return copies


class Batcher:
    """Gives packets to copies of an operator, in batches.

    Args:
        operators: opened copies; each is used by one thread.
        on_lost: told, from a worker's thread, when the device is gone for this process.
    """

    def __init__(
        self,
        operators: Sequence[BatchOperator],
        on_lost: Callable[[DeviceLost], None] | None = None,
    ) -> None:
        self._waiting: queue.SimpleQueue[tuple[Packet, Answered] | None] = queue.SimpleQueue()
        self._on_lost = on_lost
        self._threads = [
            threading.Thread(target=self._run, args=(operator,), name=f"{operator.name}-{number}", daemon=True)
            for number, operator in enumerate(operators)
        ]
        for thread in self._threads:
            thread.start()

    def put(self, packet: Packet, answered: Answered) -> None:
        """Queue a packet; `answered` is called from another thread."""
        self._waiting.put((packet, answered))

    def close(self, timeout_s: float = 5.0) -> None:
        """End the threads once they have answered what waits, and close the operators."""
        for _ in self._threads:
            self._waiting.put(None)
        for thread in self._threads:
            thread.join(timeout_s)

    def _run(self, operator: BatchOperator) -> None:
        try:
            while jobs := self._gather(operator.batch_size):
                self._answer(operator, jobs)
        finally:
            operator.close()

    def _gather(self, at_most: int) -> list[tuple[Packet, Answered]]:
        """Wait for a packet, and take what has come with it; none means the end."""
        jobs: list[tuple[Packet, Answered]] = []
        try:
            while len(jobs) < at_most:
                job = self._waiting.get() if not jobs else self._waiting.get_nowait()
                if job is None:
                    if jobs:
                        self._waiting.put(None)
                    break
                jobs.append(job)
        except queue.Empty:
            pass
        return jobs

    def _answer(self, operator: BatchOperator, jobs: list[tuple[Packet, Answered]]) -> None:
        answers: Sequence[Packet | Exception]
        try:
            answers = operator.process_batch([packet for packet, _ in jobs])
            if len(answers) != len(jobs):
                raise OperatorError(f"process_batch gave {len(answers)} packets for {len(jobs)}")
            if strange := [type(answer).__name__ for answer in answers if not isinstance(answer, Packet)]:
                raise OperatorError(f"process_batch gave a {strange[0]} where a packet was expected")
        except DeviceLost as error:
            answers = [error] * len(jobs)
            if self._on_lost is not None:
                self._on_lost(error)
        except Exception as error:
            if len(jobs) > 1:
                # One packet must not spoil the others.
                for job in jobs:
                    self._answer(operator, [job])
                return
            answers = [error]
        for (packet, answered), answer in zip(jobs, answers, strict=True):
            try:
                answered(answer)
            except Exception:
                logger.exception("camera '%s': the answer of step '%s' was lost", packet.frame.camera, operator.name)
