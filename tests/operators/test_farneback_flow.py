"""What both flows promise is tried in `test_dis_flow.py`; here is what Farneback's is kept for."""

from __future__ import annotations

import numpy as np

from engine.flow import end_point_error
from operators.dis_flow import DisFlow
from operators.farneback_flow import FarnebackFlow
from tests.operators.test_dis_flow import moved_pair, run


def test_it_is_a_yardstick_that_dis_beats() -> None:
    truth = np.full((120, 160, 2), (6, -4), np.float32)[15:-15, 15:-15]
    error = {}
    for operator in (FarnebackFlow(scale=1.0), DisFlow(preset="fine", scale=1.0)):
        flow = run(operator, moved_pair())[1].flow
        assert flow is not None
        error[type(operator)] = end_point_error(flow[15:-15, 15:-15], truth)

    assert error[DisFlow] < error[FarnebackFlow] < 1
