"""Comparing an event log with a golden one, and explaining a difference so that a person sees what changed.

Byte equality is the test. Where it fails, events are matched by their id, and the rest by camera, type and rule and
the nearest time, so that a moved event reads as moved and not as one lost and one found.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from engine.errors import UsageError

Body = dict[str, Any]
# Further apart than this in stream time, two events are two facts.
MATCH_WITHIN_S = 2.0
MAX_LINES = 40


def read_log(path: Path) -> list[Body]:
    """Read an event log, one JSON object a line.

    Raises:
        UsageError: the file is missing or a line is no event.
    """
    if not path.is_file():
        raise UsageError(f"{path}: no such event log; `--update-golden` writes it")
    out = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            body = json.loads(line)
            body["event_id"], body["type"], body["camera"], body["pts_s"]
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{path}: line {number}: not an event of this log: {error!r}") from None
        out.append(body)
    return out


def explain(golden: list[Body], found: list[Body], xy_tolerance: float = 0.0) -> list[str]:
    """Say in lines what differs between two event logs; an empty list means nothing does.

    Args:
        golden: what was expected.
        found: what came.
        xy_tolerance: boxes that moved by no more than this fraction of the frame are the same, and so are
            confidences, and numbers about drift that differ by no more than this fraction of themselves; of a drift's
            picture and text it only matters that they are there. 0 for one machine; across machines floating point
            differs in the last place, and so do JPEGs.
    """
    golden_by_id, found_by_id = _by_id(golden), _by_id(found)
    pairs = [(golden_by_id[i], found_by_id[i]) for i in golden_by_id.keys() & found_by_id.keys()]
    moved, missing, extra = _match_rest(
        [b for i, b in golden_by_id.items() if i not in found_by_id],
        [b for i, b in found_by_id.items() if i not in golden_by_id],
    )
    notes: list[tuple[tuple[str, float], str]] = []
    for old, new in [*pairs, *moved]:
        changes = list(_changes(old, new, xy_tolerance))
        if changes:
            notes.append((_place(old), f"~ {_describe(old)}: {'; '.join(changes)}"))
    notes += [(_place(body), f"- missing: {_describe(body)}") for body in missing]
    notes += [(_place(body), f"+ new:     {_describe(body)}") for body in extra]
    lines = [text for _, text in sorted(notes)]
    if not lines and [b["event_id"] for b in golden] != [b["event_id"] for b in found]:
        return ["the same events in another order"]
    if len(lines) > MAX_LINES:
        lines = [*lines[:MAX_LINES], f"… and {len(lines) - MAX_LINES} more differences"]
    if lines:
        count = f"{len(golden)} events expected, {len(found)} found"
        lines.append(
            f"{count}: {len(missing)} missing, {len(extra)} new, {len(notes) - len(missing) - len(extra)} changed"
        )
    return lines


def _by_id(bodies: Iterable[Body]) -> dict[str, Body]:
    return {body["event_id"]: body for body in bodies}


def _match_rest(golden: list[Body], found: list[Body]) -> tuple[list[tuple[Body, Body]], list[Body], list[Body]]:
    """Pair what has no common id, nearest in time first, within one camera, type, rule and direction."""
    groups: dict[tuple[Any, ...], tuple[list[Body], list[Body]]] = defaultdict(lambda: ([], []))
    for side, bodies in enumerate((golden, found)):
        for body in bodies:
            direction = body.get("line", {}).get("direction")
            groups[body["camera"], body["type"], body.get("rule"), direction][side].append(body)
    pairs, missing, extra = [], [], []
    for olds, news in groups.values():
        near = sorted(
            (abs(o["pts_s"] - n["pts_s"]), i, j)
            for i, o in enumerate(olds)
            for j, n in enumerate(news)
            if abs(o["pts_s"] - n["pts_s"]) <= MATCH_WITHIN_S
        )
        used_old: set[int] = set()
        used_new: set[int] = set()
        for _, i, j in near:
            if i not in used_old and j not in used_new:
                used_old.add(i)
                used_new.add(j)
                pairs.append((olds[i], news[j]))
        missing += [o for i, o in enumerate(olds) if i not in used_old]
        extra += [n for j, n in enumerate(news) if j not in used_new]
    return pairs, missing, extra


def _changes(old: Body, new: Body, tolerance: float) -> Iterator[str]:
    if old["pts_s"] != new["pts_s"]:
        yield f"{new['pts_s'] - old['pts_s']:+.3f} s"
    old_flat, new_flat = dict(_flatten(old)), dict(_flatten(new))
    for key in dict.fromkeys([*old_flat, *new_flat]):
        # They follow from the others.
        if key in ("event_id", "seq", "time", "pts_s"):
            continue
        before, after = old_flat.get(key), new_flat.get(key)
        if before == after:
            continue
        if key == "object.xyxy_unit" and before and after:
            by = max(abs(a - b) for a, b in zip(before, after, strict=True))
            if by > tolerance:
                yield f"box moved by {100 * by:.2f} % of the frame"
        elif key in ("drift.picture", "drift.text") and before and after:
            # Made of numbers that are compared.
            if tolerance == 0:
                yield f"another {key}"
        elif isinstance(before, float) and isinstance(after, float):
            # Statistics have units of their own, unlike fractions of the frame.
            scale = max(1.0, abs(before)) if key.startswith("drift.") else 1.0
            if abs(after - before) > tolerance * scale:
                yield f"{key} {before:g} → {after:g}"
        else:
            yield f"{key} {_short(before)} → {_short(after)}"


def _flatten(body: Body, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in body.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{key}.")
        elif f"{prefix}{key}" == "drift.statistics":
            for item in value:
                yield from _flatten(item, f"{prefix}{key}.{item['name']}.")
        elif f"{prefix}{key}" == "drift.moved_px":
            yield from zip(("drift.moved_px.x", "drift.moved_px.y"), value, strict=True)
        else:
            yield f"{prefix}{key}", value


def _describe(body: Body) -> str:
    who = body.get("object") or {}
    what = f" {who.get('class')} {who.get('track_id')}" if who else ""
    rule = f" {'of' if 'drift' in body else 'at'} {body['rule']}" if body.get("rule") else ""
    direction = f" {body['line']['direction']}" if "line" in body else ""
    return f"{body['camera']} {body['pts_s']:.3f} s {body['type']}{direction}{what}{rule}"


def _place(body: Body) -> tuple[str, float]:
    return (body["camera"], body["pts_s"])


def _short(value: Any) -> str:
    if isinstance(value, str) and value.startswith("data:"):
        return "there"
    return "absent" if value is None else str(value)
