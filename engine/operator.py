"""The contracts: what an operator, a composite, a source and a sink promise.

An operator is a dataclass. Its fields are configuration (the YAML schema) and never change; everything else is made
in `open()`, where the operator will run. A new operator is one file in `operators/` and one test.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

if TYPE_CHECKING:
    from engine.event import Event
    from engine.frame import SourceFrame
    from engine.packet import Packet

# Of an operator that needs a GPU and does not say how much it takes at once.
_GPU_BATCH = 8

FlushReason = Literal["camera_gap", "shutdown"]


class Operator:
    """One camera's packets, in order.

    Class attributes:
        reads: names of the packet fields that an earlier step must have written.
        writes: names of the packet fields that this operator fills.
        tap: it only watches. A runner may run it beside the path and leave packets out, which it counts.
        isolate: it gets a segment of its own.

    Attributes:
        num_gpus: share of a GPU that it needs.
        name: the step's name, set before `open()`; the lane writes it as `rule` into the events that it emits.
    """

    reads: ClassVar[Sequence[str]] = ()
    writes: ClassVar[Sequence[str]] = ()
    tap: ClassVar[bool] = False
    isolate: ClassVar[bool] = False
    num_gpus: float = 0.0
    name = ""

    def classes_given(self) -> Sequence[str] | None:
        """Give the classes of the objects that a detector finds; None where they are not known before it runs.

        Asked at planning time; may read the model's manifest.
        """
        return None

    def classes_wanted(self) -> Sequence[str]:
        """Give the classes of objects without which there is nothing to do: planning fails where nobody finds them."""
        return ()

    def open(self) -> None:
        """Allocate state. Called once, where the operator will run; `close()` always follows."""

    def process(self, packet: Packet) -> Packet:
        """Take one packet and give it back, with fields replaced. Never reads the wall clock, never drops."""
        return packet

    def flush(self, reason: FlushReason) -> tuple[Event, ...]:
        """End an epoch or the stream: give the last events, and be as after `open()`."""
        return ()

    def close(self) -> None:
        """Free what `open()` allocated. Must not fail after a failed `open()`."""


class BatchOperator(Operator):
    """Packets of many cameras at once, with no state between batches.

    What is in a batch never changes a packet's result. Several copies may run side by side, one a thread.

    Attributes:
        place: `local` runs it where the camera's host runs, `actor` in actors of its own.
    """

    place: str = "local"

    @property
    def batch_size(self) -> int:
        """Packets that are worth giving at once; asked after `open()`, and again, since it may shrink.

        Above 1 packets of all cameras are gathered for it (see engine.batcher).
        """
        return _GPU_BATCH if self.num_gpus else 1

    @property
    def own_device(self) -> bool:
        """It computes on a GPU, which two copies keep busy; otherwise each core has a copy. Asked after `open()`."""
        return self.num_gpus > 0

    def wants(self, packet: Packet) -> bool:
        """Say whether a packet has anything to do here; one that has not passes by, in order. Uses no state."""
        return True

    def process_batch(self, packets: list[Packet]) -> list[Packet]:
        """Give as many packets as came, in the order they came."""
        raise NotImplementedError(f"{type(self).__name__} must define process_batch")

    def process(self, packet: Packet) -> Packet:
        """Process a batch of one."""
        return self.process_batch([packet])[0]


class Composite:
    """A step that stands for several; its dataclass fields are the YAML schema.

    Attributes:
        name: the step's name, set before `expand()`.
    """

    name = ""

    def expand(self) -> list[Operator]:
        """Give the operators in order. Called at planning time; may read the model's manifest."""
        raise NotImplementedError(f"{type(self).__name__} must define expand")


class Source(Protocol):
    """Where frames come from. One object is one connection; the host makes a new one to reconnect.

    Attributes:
        live: frames come at their own pace and do not wait.
        starts_unix_us: when the recording began, if its container says so.
    """

    live: bool
    starts_unix_us: int | None

    def open(self) -> None:
        """Connect.

        Raises:
            SourceUnavailable: may work later (only live sources).
            SourceError: will never work.
        """

    def frames(self) -> Iterator[SourceFrame]:
        """Yield frames in presentation order, corrupt ones marked; ends at the end of the stream.

        Raises:
            SourceError: as for `open()`.
        """

    def num_frames(self) -> int | None:
        """Say how many frames there will be, as far as the header tells: for progress only."""

    def close(self) -> None:
        """Disconnect. May be called from another thread, and more than once."""


class Sink:
    """Where events go. One object takes the events of many cameras; each camera's events come in order.

    Sinks are dataclasses like operators. `write()` must be quick: a sink that talks to a network queues.

    Class attributes:
        central: one object must take the events of all cameras, as a file does. Otherwise every process that runs
            cameras may have a copy of its own.
    """

    central: ClassVar[bool] = True
    name = ""

    def open(self) -> None:
        """Connect or create. A network that is away is no error here: keep trying."""

    def write(self, events: Sequence[Event], headers: Mapping[str, str]) -> None:
        """Accept events of one camera, in order. `headers` are the run-time facts that stay out of the body.

        Raises:
            SinkError: this can never be delivered.
        """
        raise NotImplementedError(f"{type(self).__name__} must define write")

    def flush(self, timeout_s: float) -> int:
        """Wait until all that was accepted is delivered; give the number of events that are not."""
        return 0

    def close(self) -> None:
        """Release what `open()` took, without waiting for delivery."""

    def counts(self) -> Mapping[str, float]:
        """Give numbers for the run's summary: accepted, delivered, waiting, dropped."""
        return {}
