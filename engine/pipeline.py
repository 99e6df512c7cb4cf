"""A pipeline is data: named steps in order. Nothing runs here.

Pipeline("gate").then(Detect(model="models/street")).then(OcSort()).then(LineCount(line=((0.1, 0.5), (0.9, 0.5))))
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import GraphError
from engine.load import user_modules
from engine.operator import Composite, Operator

if TYPE_CHECKING:
    from engine.summary import Summary


@dataclass(frozen=True)
class Step:
    """An operator or composite in its place.

    Attributes:
        name: unique among a camera's steps; events carry it as `rule`.
        operator: configured, never opened; lanes open copies.
        cameras: the cameras that have this step; None means all.
        where: where it was written, for messages, such as `site.yaml: pipeline[3]`.
    """

    name: str
    operator: Operator | Composite
    cameras: tuple[str, ...] | None = None
    where: str = ""

    def meets(self, other: Step) -> bool:
        """Say whether a camera has both steps; two cameras may each have a line of one name."""
        return self.cameras is None or other.cameras is None or not set(self.cameras).isdisjoint(other.cameras)

    def applies_to(self, camera: str) -> bool:
        """Say whether a camera has this step."""
        return self.cameras is None or camera in self.cameras


@dataclass(frozen=True)
class Pipeline:
    """Named steps in order."""

    name: str = "default"
    steps: tuple[Step, ...] = ()

    def then(
        self,
        operator: Operator | Composite,
        name: str | None = None,
        cameras: Iterable[str] | None = None,
        where: str = "",
    ) -> Pipeline:
        """Give a pipeline with one more step.

        Raises:
            GraphError: it is no operator, or the name is taken.
        """
        if not isinstance(operator, Operator | Composite) or not is_dataclass(operator):
            raise GraphError(
                f"{where or 'pipeline'}: a step must be a dataclass that derives from engine.operator.Operator or "
                f"Composite, got {type(operator).__name__}"
            )
        name = name or kind_of(operator)
        step = Step(name, operator, None if cameras is None else tuple(cameras), where)
        if any(other.name == name and other.meets(step) for other in self.steps):
            raise GraphError(f"{where or 'pipeline'}: the step name '{name}' is taken; give one of them a `name:`")
        return Pipeline(self.name, (*self.steps, step))

    @property
    def digest(self) -> str:
        """Short hash of everything that decides what the pipeline does, your own modules' text included."""
        steps = [[s.name, describe(s.operator), list(s.cameras or [])] for s in self.steps]
        own = sorted((m.name, m.digest) for m in user_modules())
        text = json.dumps([steps, own], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def run(self, *sources: str | Path, events: str | Path | None = None) -> Summary:
        """Run over recordings in this thread, every frame, and give the summary.

        Args:
            sources: files or folders of files.
            events: a file for the events, one JSON object a line; `-` is standard output.

        Raises:
            VedetteError: see engine.errors.
        """
        from engine.replay import replay
        from engine.site import Site

        summary, errors = replay(Site.of_sources([str(s) for s in sources], pipeline=self, events=events))
        for error in errors.values():
            raise error
        return summary


def kind_of(operator: object) -> str:
    """The kind's name of an operator: `LineCount` → `line_count`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", type(operator).__name__).lower()


def describe(operator: object) -> dict[str, Any]:
    """An operator as data: its class and fields, without secrets (they print as stars)."""
    fields = asdict(operator) if is_dataclass(operator) and not isinstance(operator, type) else {}
    return {"kind": f"{type(operator).__module__}:{type(operator).__name__}", **fields}
