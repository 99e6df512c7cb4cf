"""Every ONNX operator that the torch backend knows, by name."""

from __future__ import annotations

from operators.pytorch import elementwise, layers, reductions, resize, shapes

OPERATORS = {
    **elementwise.OPERATORS,
    **layers.OPERATORS,
    **reductions.OPERATORS,
    **resize.OPERATORS,
    **shapes.OPERATORS,
}
