"""`sort` is `sort_reference`, all tracks at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.packet import Packet
from engine.tracks import Tracks
from operators.sort import Sort
from tests.walks import follow, random_packets

reference = pytest.importorskip("operators.sort_reference", reason="the extra 'reference' is not installed")


def assert_same(packets: Sequence[Packet], **fields: float | bool) -> int:
    """Compare whole tables, frame by frame; give the number of ids that were used."""
    last_id = 0
    both = (follow(Sort(**fields), packets), follow(reference.SortReference(**fields), packets))  # type: ignore[arg-type]
    for ours, plain in zip(*both, strict=True):
        assert_same_tracks(ours, plain)
        last_id = max([last_id, *ours.track_id.tolist()])
    return last_id


def assert_same_tracks(ours: Tracks, plain: Tracks) -> None:
    for exact in ("track_id", "class_id", "confidence", "confirmed", "age_s", "coasted_s"):
        assert getattr(ours, exact).tolist() == getattr(plain, exact).tolist()
        assert getattr(ours, exact).dtype == getattr(plain, exact).dtype
    assert np.allclose(ours.xyxy, plain.xyxy, rtol=0, atol=1e-3)
    assert np.allclose(ours.velocity, plain.velocity, rtol=1e-4, atol=1e-2)
    assert ours.labels == plain.labels


@pytest.mark.parametrize("seed", range(8))
def test_agrees_with_the_reference_on_random_walks(seed: int) -> None:
    assert assert_same(random_packets(seed)) > 12


@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10_000),
    num_objects=st.integers(0, 20),
    not_looked=st.sampled_from([0.0, 0.5]),
    confirm_hits=st.integers(1, 4),
    max_coast_s=st.sampled_from([0.0, 0.3, 5.0]),
    low_confidence=st.sampled_from([0.1, 0.6]),
    across_classes=st.booleans(),
)
def test_agrees_with_the_reference_whatever_the_settings(
    seed: int,
    num_objects: int,
    not_looked: float,
    confirm_hits: int,
    max_coast_s: float,
    low_confidence: float,
    across_classes: bool,
) -> None:
    assert_same(
        random_packets(seed, num_frames=40, num_objects=num_objects, not_looked=not_looked),
        confirm_hits=confirm_hits,
        max_coast_s=max_coast_s,
        low_confidence=low_confidence,
        across_classes=across_classes,
    )
