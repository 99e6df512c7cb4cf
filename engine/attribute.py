"""What is known about an object beside its class, such as its colour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field


@dataclass(frozen=True, slots=True)
class Attribute:
    """What a classifier has made of the looks it took at an object.

    Attributes:
        label: one of the classifier's classes.
        confidence: what the looks add up to, 0..1: high where they were sure and agreed.
    """

    label: str
    confidence: Annotated[float, Field(ge=0, le=1)]
