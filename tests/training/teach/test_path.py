from __future__ import annotations

import numpy as np

from training.teach.path import smooth_path


def walk(times_s: np.ndarray) -> np.ndarray:
    """A box of 20x40 that walks 30 pixels a second to the right."""
    left = 30 * times_s
    return np.stack([left, np.full_like(left, 5), left + 20, np.full_like(left, 45)], axis=1).astype(np.float32)


def test_a_steady_walk_stays_what_it_is_and_is_filled_in_between() -> None:
    times = np.arange(20) / 10
    seen = np.delete(times, [7, 8, 9])
    np.testing.assert_allclose(smooth_path(seen, walk(seen), times), walk(times), atol=0.5)


def test_jitter_gets_less_on_both_ends_too() -> None:
    times = np.arange(30) / 10
    noise = np.random.default_rng(0).normal(0, 2, (30, 4)).astype(np.float32)
    smooth = smooth_path(times, walk(times) + noise, times)
    assert np.abs(smooth - walk(times)).mean() < 0.7 * np.abs(noise).mean()
    assert np.abs(smooth[[0, -1]] - walk(times)[[0, -1]]).max() < 4


def test_one_sighting_is_its_own_path() -> None:
    one = np.array([[1, 2, 30, 40]], np.float32)
    np.testing.assert_allclose(smooth_path(np.zeros(1), one, np.zeros(1)), one)


def test_time_backwards_gives_the_same_path() -> None:
    times = np.arange(12) / 10
    boxes = walk(times) + np.random.default_rng(1).normal(0, 1, (12, 4)).astype(np.float32)
    forward = smooth_path(times, boxes, times)
    backward = smooth_path(times, boxes[::-1], times)[::-1]
    np.testing.assert_allclose(forward, backward, atol=1.0)
