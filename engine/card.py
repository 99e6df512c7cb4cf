"""A model's card: what it was trained on, how good it is and where, and with what it was made."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from engine.errors import BundleError

SCHEMA: Literal["vedette.card/1"] = "vedette.card/1"
PACKAGES = ("vedette", "torch", "onnx", "onnxruntime", "numpy", "opencv-python-headless", "albumentations")

Number = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, serialize_by_alias=True, populate_by_name=True)


class DataEntry(_Part):
    """Pictures with labels.

    Attributes:
        name: for people.
        licence: of pictures and labels.
        source: where they come from: an address or a sentence.
        digest: SHA-256 over labels and pictures.
        num_images: pictures.
        num_boxes: boxes that are judged.
    """

    name: str
    licence: str = ""
    source: str = ""
    digest: str = ""
    num_images: Count = 0
    num_boxes: Count = 0


class Figure(_Part):
    """One measured number.

    Attributes:
        metric: such as `AP50` or `AP`.
        value: of it.
        slice: of the data that it holds for: `all`, `class=person`, `light=night`, `condition=rain`, ….
        data: name of the data that it was taken on.
        num_images: pictures in the slice.
        num_boxes: boxes that are judged in the slice.
        low, high: bounds of its 95 % confidence interval, where taken.
    """

    metric: str
    value: Number
    slice: str = "all"
    data: str = ""
    num_images: Count = 0
    num_boxes: Count = 0
    low: Number | None = None
    high: Number | None = None


class Parity(_Part):
    """How far the exported model is from the trained one, on the same pictures.

    Attributes:
        num_images: pictures that both have seen.
        max_box_px: largest difference of a box's side, in pixels of the model's input.
        max_score: largest difference of a confidence.
        map_difference: of mAP .5:.95, in points (hundredths).
    """

    num_images: Count
    max_box_px: Number
    max_score: Number
    map_difference: Number


class Teacher(_Part):
    """The model that labelled the pictures.

    Attributes:
        name, licence, source: as its manifest says.
        digest: of its bundle.
    """

    name: str
    digest: str
    licence: str = ""
    source: str = ""


class Card(_Part):
    """Where a model comes from and how good it is.

    Attributes:
        name: the model's.
        made_at: the day.
        summary: what it is for, in a sentence or two.
        started_from: the weights that training began with; empty for random ones.
        trained_on: the pictures that taught it.
        judged_on: the pictures that the figures were taken on; it has not been taught with them.
        recipe: the YAML text that decided the training.
        figures: overall first, then by slice.
        known_weaknesses: sentences for whoever wants to use it.
        versions: of the packages that made it, by name.
        parity: of the exported model with the trained one.
        teacher: the model that labelled the pictures, where people did not.
    """

    schema_: Annotated[Literal["vedette.card/1"], Field(alias="schema")] = SCHEMA
    name: str
    made_at: datetime.date
    summary: str = ""
    started_from: str = ""
    trained_on: tuple[DataEntry, ...] = ()
    judged_on: tuple[DataEntry, ...] = ()
    recipe: str = ""
    figures: tuple[Figure, ...] = ()
    known_weaknesses: tuple[str, ...] = ()
    versions: dict[str, str] = Field(default_factory=dict)
    parity: Parity | None = None
    teacher: Teacher | None = None

    def to_json(self) -> str:
        """Write it as the file's text."""
        return json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def load(cls, path: Path) -> Card:
        """Read a card.

        Raises:
            BundleError: no card, of another version, or with unknown, missing or wrong keys.
        """
        try:
            text = path.read_text(encoding="utf-8")
            data = json.loads(text)
        except (OSError, ValueError) as error:
            raise BundleError(f"{path}: no model card: {error}") from None
        schema = data.get("schema") if isinstance(data, dict) else None
        if schema != SCHEMA:
            raise BundleError(f"{path}: schema is {schema!r}, this version of Vedette reads '{SCHEMA}'")
        try:
            return cls.model_validate_json(text, strict=True)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise BundleError(f"{path}: {place}: {first['msg'].removeprefix('Value error, ')}") from None


def installed_versions(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Give the versions of Python and of these packages; those that are not installed are left out."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
