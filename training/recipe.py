"""The recipe: everything that decides a training run, in one YAML file that goes onto the model's card."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from engine.errors import ConfigError
from engine.load import did_you_mean

Fraction = Annotated[float, Field(ge=0, le=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataPart(_Strict):
    """One set of labelled pictures.

    Attributes:
        path: a label file or a folder.
        format: `coco`, `yolo`, `voc`, `mot`, `label_studio`, `pennfudan`; by default told from what is there.
        images: the folder of the pictures, where it is not beside the labels.
        name: for the card; default: the path's last part.
        licence: of pictures and labels.
        source: where they come from.
        camera: of all its pictures, where the labels do not say.
        role: `train` and `val` fix where its pictures go; `auto` splits them.
        tags: slices that all its pictures belong to.
        repeat: how often each picture is shown in an epoch.
    """

    path: Path
    format: str | None = None
    images: Path | None = None
    name: str = ""
    licence: str = ""
    source: str = ""
    camera: str = ""
    role: Literal["auto", "train", "val"] = "auto"
    tags: dict[str, str] = Field(default_factory=dict)
    repeat: Annotated[int, Field(ge=1, le=100)] = 1


class SplitSpec(_Strict):
    """How `auto` data is divided: by camera and time, never by frame.

    Attributes:
        val: share of the pictures that is held out.
        seed: of the choice among photographs and cameras.
        gap_s: seconds of a recording left out between the two parts.
    """

    val: Annotated[float, Field(gt=0, lt=1)] = 0.2
    seed: int = 0
    gap_s: Annotated[float, Field(ge=0)] = 2.0


class ModelChoice(_Strict):
    """The network.

    Attributes:
        size: a key of `training.model.SIZES`.
        input_wh: width and height of its input, multiples of 32.
        init: an ONNX file or bundle of the same size whose weights it starts from; random by default.
    """

    size: str = "nano"
    input_wh: tuple[int, int] = (416, 416)
    init: Path | None = None

    @field_validator("input_wh")
    @classmethod
    def _fits_strides(cls, size: tuple[int, int]) -> tuple[int, int]:
        if any(length < 64 or length > 2048 or length % 32 for length in size):
            raise ValueError(f"must be two multiples of 32 from 64 to 2048, got {list(size)}")
        return size


class TrainSpec(_Strict):
    """The schedule.

    Attributes:
        epochs: passes over the training pictures.
        minutes: instead of `epochs`, time on this machine; the number of steps is fixed after the first of them.
        batch_size: pictures a step.
        lr: learning rate after the warm-up.
        warmup: share of all steps in which it rises from zero.
        final_lr: share of `lr` that the cosine ends at.
        weight_decay: of kernels; norms and biases have none.
        ema: how much of the averaged weights each step keeps, at the end of its own warm-up.
        keep_init: share of the weights that `init` gave in those that are kept (Wortsman et al. 2022, arXiv
            2109.01903). Training on few places forgets the others; half and half, little is lost on either side. For
            classes that `init` knows.
        clip: largest norm of the gradient.
        multi_scale: the input varies by about this share, in multiples of 32.
        close_share: last share of the steps, without mosaic and MixUp and with the L1 loss.
        eval_every: epochs between evaluations on the held-out pictures; 0: about ten in all.
        patience: evaluations without a better one until it stops; 0 never stops early.
        freeze: `backbone` keeps the loaded backbone as it is.
        seed: of everything random.
        workers: processes that read pictures; by default as many as the machine has room for.
    """

    epochs: Annotated[int, Field(ge=1)] | None = None
    minutes: Annotated[float, Field(gt=0)] | None = None
    batch_size: Annotated[int, Field(ge=1, le=1024)] = 8
    lr: Annotated[float, Field(gt=0, lt=1)] = 0.001
    warmup: Fraction = 0.05
    final_lr: Fraction = 0.05
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.998
    keep_init: Fraction = 0.0
    clip: Annotated[float, Field(gt=0)] = 10.0
    multi_scale: Annotated[float, Field(ge=0, le=0.5)] = 0.15
    close_share: Fraction = 0.2
    eval_every: Annotated[int, Field(ge=0)] = 0
    patience: Annotated[int, Field(ge=0)] = 0
    freeze: Literal["none", "backbone"] = "none"
    seed: int = 0
    workers: Annotated[int, Field(ge=0, le=64)] | None = None

    @model_validator(mode="after")
    def _one_length(self) -> TrainSpec:
        if self.epochs is not None and self.minutes is not None:
            raise ValueError("give epochs or minutes, not both")
        return self


class AugmentSpec(_Strict):
    """What is varied, each with the probability that a picture gets it; 0 switches it off.

    Attributes:
        flip: mirrored left to right.
        mosaic: four pictures put together.
        mixup: two pictures laid over each other.
        geometry: scaled, shifted, and a little turned and sheared.
        scale: smallest and largest scale of `geometry`.
        colour: brightness, contrast, saturation, hue.
        cutout: rectangles painted over.
        conditions: production conditions by name (see `training.augment.conditions`).
    """

    flip: Fraction = 0.5
    mosaic: Fraction = 0.5
    mixup: Fraction = 0.05
    geometry: Fraction = 0.8
    scale: tuple[float, float] = (0.6, 1.5)
    colour: Fraction = 0.5
    cutout: Fraction = 0.1
    conditions: dict[str, Fraction] = Field(default_factory=dict)

    @field_validator("scale")
    @classmethod
    def _grows(cls, scale: tuple[float, float]) -> tuple[float, float]:
        if not (0.1 <= scale[0] <= scale[1] <= 10 and all(math.isfinite(s) for s in scale)):
            raise ValueError(f"must be two factors from 0.1 to 10, the smaller first, got {list(scale)}")
        return scale

    @field_validator("conditions")
    @classmethod
    def _known(cls, conditions: dict[str, float]) -> dict[str, float]:
        from training.augment.conditions import CONDITIONS

        for name in conditions:
            if name not in CONDITIONS:
                raise ValueError(f"unknown condition '{name}'{did_you_mean(name, CONDITIONS)}")
        return conditions


class ExportSpec(_Strict):
    """The ONNX file.

    Attributes:
        opset: of ONNX.
        max_map_difference: points of mAP that PyTorch and ONNX Runtime may differ by, on the scale 0..100.
    """

    opset: Annotated[int, Field(ge=13, le=20)] = 17
    max_map_difference: Annotated[float, Field(ge=0)] = 0.1


class Recipe(_Strict):
    """Everything that decides a training run.

    Attributes:
        name: of the model.
        labels: its classes in order; default: the data's.
        rename: old class name to new; null drops a class.
        data: sets of labelled pictures.
        licence: of the weights that come out.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    labels: tuple[str, ...] | None = None
    rename: dict[str, str | None] = Field(default_factory=dict)
    data: Annotated[tuple[DataPart, ...], Field(min_length=1)]
    licence: str = ""
    split: SplitSpec = SplitSpec()
    model: ModelChoice = ModelChoice()
    train: TrainSpec = TrainSpec()
    augment: AugmentSpec = AugmentSpec()
    export: ExportSpec = ExportSpec()

    @model_validator(mode="after")
    def _something_to_keep(self) -> Recipe:
        if self.train.keep_init and self.model.init is None:
            raise ValueError("train.keep_init needs model.init: random weights are not worth keeping")
        return self

    def to_yaml(self) -> str:
        """Write it as the file's text, defaults included."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def load_recipe(path: Path) -> Recipe:
    """Read a recipe; paths in it are relative to the file. YOLO's `data.yaml` is a recipe with all defaults.

    Raises:
        ConfigError: missing, not YAML, or with unknown, missing or wrong keys; says where.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError:
        raise ConfigError(f"{path}: no such file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: expected a mapping with `name` and `data`, got {type(data).__name__}")
    if "names" in data and "train" in data and "data" not in data:
        data = {"name": path.resolve().parent.name, "data": [{"path": path.name, "format": "yolo"}]}
    try:
        recipe = Recipe.model_validate(data)
    except ValidationError as error:
        raise ConfigError(f"{path}: {_explain(error)}") from None
    return resolved(recipe, path.resolve().parent)


def resolved(recipe: Recipe, folder: Path) -> Recipe:
    """Give the recipe with its relative paths beside a folder."""

    def beside(path: Path | None) -> Path | None:
        return None if path is None else folder / path

    parts = tuple(
        part.model_copy(update={"path": beside(part.path), "images": beside(part.images)}) for part in recipe.data
    )
    model = recipe.model.model_copy(update={"init": beside(recipe.model.init)})
    return recipe.model_copy(update={"data": parts, "model": model})


def _explain(error: ValidationError) -> str:
    first: Any = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        key = str(first["loc"][-1])
        accepted = _accepted(first["loc"][:-1])
        return f"{place}: unknown key '{key}'{did_you_mean(key, accepted)}; accepted: {', '.join(accepted)}"
    return f"{place}: {first['msg'].removeprefix('Value error, ')}" if place else str(first["msg"])


def _accepted(location: tuple[Any, ...]) -> list[str]:
    sections: dict[str, type[BaseModel]] = {
        "data": DataPart, "split": SplitSpec, "model": ModelChoice, "train": TrainSpec,
        "augment": AugmentSpec, "export": ExportSpec,
    }  # fmt: skip
    return list((sections[str(location[0])] if location else Recipe).model_fields)
