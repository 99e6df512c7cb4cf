"""`vedette evaluate tracks`: judge tracks against ground truth with HOTA, MOTA, IDF1 and id switches."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.errors import SourceError, UsageError

if TYPE_CHECKING:
    from engine.mot import MotTable
    from training.track_scores import Judgement


def find_pairs(truth: Path, results: Path) -> dict[str, tuple[Path, Path]]:
    """Pair ground truth with results: two files, or a folder of `NAME/gt/gt.txt` and one of `NAME.txt`.

    Raises:
        UsageError: the two do not fit together.
    """
    if truth.is_file() and results.is_file():
        return {results.stem: (truth, results)}
    for path in (truth, results):
        if not path.exists():
            raise UsageError(f"{path}: no such file or folder")
    if results.is_file():
        single = truth / "gt" / "gt.txt"
        if not single.is_file():
            raise UsageError(f"{truth}: is a folder without gt/gt.txt; give the ground truth file for {results}")
        return {truth.name: (single, results)}
    if truth.is_file():
        raise UsageError(f"{results}: is a folder where {truth} is a file; give two files or two folders")
    found = {path.stem: (truth / path.stem / "gt" / "gt.txt", path) for path in sorted(results.glob("*.txt"))}
    if not found:
        raise UsageError(f"{results}: holds no NAME.txt to judge")
    for name, (truth_file, result_file) in found.items():
        if not truth_file.is_file():
            raise UsageError(f"{result_file}: has no ground truth; expected {truth_file} for sequence '{name}'")
    return found


def unjudged(truth: Path, pairs: Mapping[str, tuple[Path, Path]]) -> list[str]:
    """Name the sequences of a ground truth folder that have no results."""
    if not truth.is_dir() or (truth / "gt" / "gt.txt").is_file():
        return []
    return sorted(path.parent.parent.name for path in truth.glob("*/gt/gt.txt") if path.parent.parent.name not in pairs)


def parse_frames(text: str | None) -> tuple[int, int] | None:
    """Read `A:B`, both included, either may be empty.

    Raises:
        UsageError: it is something else.
    """
    if text is None:
        return None
    first, colon, last = text.partition(":")
    try:
        frames = int(first or 1), int(last or sys.maxsize)
    except ValueError:
        frames = (0, 0)
    if not colon or not 1 <= frames[0] <= frames[1]:
        raise UsageError(f"--frames {text}: expected A:B with 1 <= A <= B, such as 1:400 (both are judged)")
    return frames


def register(app: typer.Typer) -> None:
    """Add `vedette evaluate tracks`."""

    @app.command("tracks")
    def tracks(
        gt: Annotated[Path, typer.Option(help="Ground truth: a MOTChallenge file, or a folder of NAME/gt/gt.txt.")],
        results: Annotated[Path, typer.Option(help="Results: a MOTChallenge file, or a folder of NAME.txt.")],
        frames: Annotated[str | None, typer.Option(help="Judge frames A:B only, both included.")] = None,
        strict: Annotated[
            bool, typer.Option("--strict", help="Count results on truth of confidence 0 as false positives (MOT15).")
        ] = False,
        as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    ) -> None:
        """Judge tracks against ground truth: HOTA, MOTA, IDF1, id switches (TrackEval)."""
        from engine.mot import read_mot
        from training.track_scores import judge_tracks

        span = parse_frames(frames)
        pairs = find_pairs(gt, results)
        missing = unjudged(gt, pairs)
        if missing:
            typer.echo(f"not judged, no results for: {', '.join(missing)}", err=True)
        tables = {name: (_read_truth(truth), read_mot(result)) for name, (truth, result) in pairs.items()}
        judgement = judge_tracks(tables, span, strict)
        print_judgement(judgement, as_json)


def _read_truth(path: Path) -> MotTable:
    from engine.mot import read_mot

    truth = read_mot(path)
    if not truth.is_judged.any():
        raise SourceError(f"{path}: holds no box to be judged (confidence above 0; class 1 where classes are stated)")
    return truth


def print_judgement(judgement: Judgement, as_json: bool) -> None:
    """Print scores to standard output, as JSON or as a table with one line a sequence."""
    sequences = {name: scores.as_json() for name, scores in judgement.sequences.items()}
    combined = judgement.combined.as_json()
    if as_json:
        typer.echo(json.dumps({**combined, "sequences": sequences}, indent=2))
        return
    names = ("HOTA", "DetA", "AssA", "MOTA", "IDF1", "id_switches", "false_positives", "misses")
    width = max(len(name) for name in (*sequences, "combined"))
    typer.echo(" " * width + "".join(f"{name:>17}" if "_" in name else f"{name:>8}" for name in names))
    for name, scores in (*sequences.items(), ("combined", combined)):
        cells = (f"{scores[key]:>17}" if "_" in key else f"{scores[key]:>8.2f}" for key in names if key != "misses")
        typer.echo(f"{name:<{width}}" + "".join(cells) + f"{scores['misses']:>8}")
