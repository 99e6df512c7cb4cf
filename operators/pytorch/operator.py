"""How an ONNX operator is described: what makes its function, and what it asks of its inputs."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass

from operators.pytorch.onnx_graph import Function, Node


class Computes(enum.Enum):
    """In what an operator computes when the model runs in half precision."""

    HALF = "half"
    """A layer: nearly all of the arithmetic, in fp16 or bf16, with float32 sums inside the kernels."""
    FULL = "float32"
    """It loses too much, or overflows, in half precision."""
    AS_GIVEN = "as given"
    """In the widest type of its inputs."""


@dataclass(frozen=True)
class Operator:
    """An ONNX operator.

    Attributes:
        make: reads a node's attributes and gives its function. ValueError where one is not supported.
        known: positions of inputs that are sizes, axes and the like: they must be known before a picture is, and the
            function gets them as lists and numbers.
        number: positions of inputs that the function gets as a number where they are one and known.
        of_shape: its output depends on its input's shape only.
        computes: see Computes.
    """

    make: Callable[[Node], Function]
    known: tuple[int, ...] = ()
    number: tuple[int, ...] = ()
    of_shape: bool = False
    computes: Computes = Computes.AS_GIVEN
