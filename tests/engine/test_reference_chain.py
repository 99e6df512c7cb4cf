from __future__ import annotations

from engine.reference_chain import ReferenceChain


def test_nothing_before_the_first_key_frame_can_be_trusted() -> None:
    chain = ReferenceChain()

    shown = [chain.holds(pts, is_key, False) for pts, is_key in ((0, False), (1, False), (2, True), (3, False))]

    assert shown == [False, False, True, True]


def test_what_follows_a_concealed_picture_is_not_trusted_until_the_next_key_frame() -> None:
    chain = ReferenceChain()
    pictures = [(0, True, False), (1, False, True), (2, False, False), (3, True, False), (4, False, False)]

    assert [chain.holds(*picture) for picture in pictures] == [True, False, False, True, True]


def test_a_concealed_key_frame_mends_nothing() -> None:
    chain = ReferenceChain()
    pictures = [(0, True, True), (1, False, False), (2, True, False)]

    assert [chain.holds(*picture) for picture in pictures] == [False, False, True]


def test_a_key_frame_that_is_shown_late_does_not_mend_a_loss_after_it() -> None:
    chain = ReferenceChain()
    chain.holds(0, True, False)
    # B-frames delay what is shown: the loss at 7 is noticed before the key frame at 5 comes out.
    chain.broke(7)

    assert [chain.holds(pts, pts in (5, 10), False) for pts in (5, 6, 8, 10, 11)] == [False, False, False, True, True]


def test_the_second_key_frame_mends_even_if_time_jumped_back() -> None:
    chain = ReferenceChain()
    chain.broke(1_000_000)

    assert [chain.holds(pts, pts in (0, 2), False) for pts in range(4)] == [False, False, True, True]


def test_missing_times_do_not_keep_it_broken() -> None:
    chain = ReferenceChain()
    chain.broke(None)

    assert chain.holds(3, True, False)
    chain.broke(5)
    assert chain.holds(None, True, False)
