"""Two sets of results for the same truth, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training.evaluation.detections.bootstrap import Difference, difference
from training.evaluation.detections.evaluate import Evaluation, as_list, number


def compare(a: Evaluation, b: Evaluation) -> dict[str, Difference]:
    """Compare every figure of two evaluations of the same truth, draw by draw.

    Args:
        a: the first; made with the same `draws`, `block_s` and `seed` as the second.
        b: the second.

    Returns:
        b - a by the keys of `Evaluation.figures`.
    """
    return {
        key: difference(value, b.figures[key], a.draws[:, column], b.draws[:, column])
        for column, (key, value) in enumerate(a.figures.items())
    }


def comparison_json(a: Evaluation, b: Evaluation, differences: Mapping[str, Difference]) -> dict[str, Any]:
    """Give a comparison as one object."""
    return {
        "a": a.name,
        "b": b.name,
        "figures": {
            key: {
                "a": number(apart.a),
                "b": number(apart.b),
                "difference": number(apart.b - apart.a),
                "interval": as_list(apart.interval),
                "p": None if apart.p is None else round(apart.p, 5),
                "significant": apart.is_significant,
            }
            for key, apart in differences.items()
        },
    }
