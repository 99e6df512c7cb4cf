"""Judge line and zone events against the truth: precision and recall per type and rule, and what was missed.

An event of the truth and one of the results are the same when camera, type, rule and direction agree and their stream
times differ by no more than the tolerance. They are paired one to one so that as many as possible pair, and among
those ways the one with the smallest differences. Exits that say no more than that nobody looks any longer (reason
`camera_gap` or `shutdown`) are not judged.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from engine.errors import SourceError, UsageError

# What a truth without a single one of them still speaks about: whoever marks lines and zones marks all of it. Other
# types (`object.*`, `camera.*`) are judged where the truth holds some.
ALWAYS_JUDGED = ("line.crossed", "zone.entered", "zone.exited", "zone.dwelled")
NOBODY_LOOKS = ("camera_gap", "shutdown")
MAX_LINES = 40


@dataclass(frozen=True, order=True)
class Fact:
    """What an event says, without who it says it about: ids differ between truth and results."""

    camera: str
    type: str
    rule: str
    direction: str
    pts_s: float

    @property
    def what(self) -> tuple[str, str, str, str]:
        """All but the time."""
        return self.camera, self.type, self.rule, self.direction

    def __str__(self) -> str:
        words = (self.type, self.rule, self.direction)
        return f"{self.camera} {self.pts_s:8.2f} s  {' '.join(word for word in words if word)}"


@dataclass(frozen=True)
class Scores:
    """How many events of the truth were found, and how many found ones are true."""

    num_truth: int
    num_results: int
    num_matched: int
    mean_delay_s: float

    @property
    def precision(self) -> float:
        """Share of the results that are true; 1 when there are none."""
        return self.num_matched / self.num_results if self.num_results else 1.0

    @property
    def recall(self) -> float:
        """Share of the truth that was found; 1 when there is none."""
        return self.num_matched / self.num_truth if self.num_truth else 1.0

    def as_json(self) -> dict[str, float]:
        """Give the scores by name."""
        return {
            "precision": round(self.precision, 4),
            "recall": round(self.recall, 4),
            "truth": self.num_truth,
            "results": self.num_results,
            "matched": self.num_matched,
            "mean_delay_s": round(self.mean_delay_s, 3),
        }


@dataclass(frozen=True)
class Judgement:
    """Pairs of truth and result, and what is left over on either side, each in order."""

    pairs: tuple[tuple[Fact, Fact], ...]
    missed: tuple[Fact, ...]
    false_alarms: tuple[Fact, ...]

    def scores(self, what: tuple[str, str] | None = None) -> Scores:
        """Count one type and rule, or everything."""
        pairs = [(t, r) for t, r in self.pairs if what in (None, (t.type, t.rule))]
        missed = sum(what in (None, (f.type, f.rule)) for f in self.missed)
        false = sum(what in (None, (f.type, f.rule)) for f in self.false_alarms)
        delay_s = float(np.mean([r.pts_s - t.pts_s for t, r in pairs])) if pairs else 0.0
        return Scores(len(pairs) + missed, len(pairs) + false, len(pairs), delay_s)

    @property
    def kinds(self) -> list[tuple[str, str]]:
        """Every type and rule that occurs, sorted."""
        facts = [t for t, _ in self.pairs] + [*self.missed, *self.false_alarms]
        return sorted({(fact.type, fact.rule) for fact in facts})


def judge_events(truth: Sequence[Fact], results: Sequence[Fact], tolerance_s: float = 1.0) -> Judgement:
    """Pair results with the truth.

    Args:
        truth: what happened.
        results: what was published; types that the truth does not speak about are left out.
        tolerance_s: how far apart in stream time two events may be and still be one.
    """
    judged = {*ALWAYS_JUDGED, *(fact.type for fact in truth)}
    groups: dict[tuple[str, ...], tuple[list[Fact], list[Fact]]] = defaultdict(lambda: ([], []))
    for side, facts in enumerate((truth, results)):
        for fact in facts:
            if fact.type in judged:
                groups[fact.what][side].append(fact)
    pairs: list[tuple[Fact, Fact]] = []
    missed: list[Fact] = []
    false_alarms: list[Fact] = []
    for expected, found in groups.values():
        rows, columns = _assign(expected, found, tolerance_s)
        pairs += [(expected[i], found[j]) for i, j in zip(rows, columns, strict=True)]
        missed += [fact for i, fact in enumerate(expected) if i not in rows]
        false_alarms += [fact for j, fact in enumerate(found) if j not in columns]
    return Judgement(tuple(sorted(pairs)), tuple(sorted(missed)), tuple(sorted(false_alarms)))


def _assign(expected: list[Fact], found: list[Fact], tolerance_s: float) -> tuple[list[int], list[int]]:
    # Imported here: it costs most of a second, and every start of `vedette` reads this file.
    from scipy.optimize import linear_sum_assignment

    if not expected or not found:
        return [], []
    apart = np.abs(np.subtract.outer([f.pts_s for f in expected], [f.pts_s for f in found]))
    # Times are written with microseconds; what differs by the tolerance exactly still counts.
    near = apart <= tolerance_s + 1e-6
    # One more pair is worth any differences in time.
    price = (tolerance_s + 1.0) * (min(apart.shape) + 1)
    rows, columns = linear_sum_assignment(np.where(near, apart, price))
    kept = near[rows, columns]
    return rows[kept].tolist(), columns[kept].tolist()


def read_facts(path: Path) -> list[Fact]:
    """Read a log with one event a line: Vedette's own, or a truth with `type`, `camera`, `pts_s` and the rule's name.

    Raises:
        UsageError: the file is missing.
        SourceError: a line is no event.
    """
    if not path.is_file():
        raise UsageError(f"{path}: no such event log")
    facts = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            body = json.loads(line)
            if not (body["type"] == "zone.exited" and body.get("reason") in NOBODY_LOOKS):
                facts.append(_fact(body))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise SourceError(
                f"{path}: line {number}: not an event; expected a JSON object with type, camera and pts_s ({error!r})"
            ) from None
    return facts


def _fact(body: dict[str, Any]) -> Fact:
    line, zone = body.get("line") or {}, body.get("zone") or {}
    rule = body.get("rule") or line.get("name") or zone.get("name") or ""
    return Fact(str(body["camera"]), str(body["type"]), str(rule), str(line.get("direction", "")), float(body["pts_s"]))


def register(app: typer.Typer) -> None:
    """Add `vedette evaluate events`."""

    @app.command("events")
    def events(
        gt: Annotated[Path, typer.Option(help="Truth: one JSON event a line.")],
        results: Annotated[Path, typer.Option(help="Results: the log of `run --events` or `replay --events`.")],
        tolerance_s: Annotated[float, typer.Option(min=0.0, help="How far apart in stream time.")] = 1.0,
        as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    ) -> None:
        """Judge line and zone events against the truth: precision and recall per type and rule, and what was missed."""
        judgement = judge_events(read_facts(gt), read_facts(results), tolerance_s)
        typer.echo(json.dumps(_as_json(judgement), indent=2) if as_json else "\n".join(_as_lines(judgement)))


def _as_json(judgement: Judgement) -> dict[str, Any]:
    rules = [{"type": t, "rule": r, **judgement.scores((t, r)).as_json()} for t, r in judgement.kinds]
    return {
        **judgement.scores().as_json(),
        "rules": rules,
        "missed": [str(fact) for fact in judgement.missed],
        "false_alarms": [str(fact) for fact in judgement.false_alarms],
    }


def _as_lines(judgement: Judgement) -> list[str]:
    rows = [(f"{t} {r}".strip(), judgement.scores((t, r))) for t, r in judgement.kinds]
    rows.append(("all", judgement.scores()))
    width = max(len(name) for name, _ in rows)
    lines = [f"{'':{width}}  precision  recall  truth  found  delay s"]
    for name, scores in rows:
        counts = f"{scores.num_truth:5}  {scores.num_results:5}  {scores.mean_delay_s:+7.2f}"
        lines.append(f"{name:{width}}  {scores.precision:9.3f}  {scores.recall:6.3f}  {counts}")
    left_over = [f"- missed:      {fact}" for fact in judgement.missed]
    left_over += [f"+ false alarm: {fact}" for fact in judgement.false_alarms]
    if len(left_over) > MAX_LINES:
        left_over = [*left_over[:MAX_LINES], f"… and {len(left_over) - MAX_LINES} more"]
    return lines + left_over
