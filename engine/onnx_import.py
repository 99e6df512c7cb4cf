"""From a bare ONNX file to a bundle: what it is, whether it is what was said, and what its classes are called."""

from __future__ import annotations

import ast
import dataclasses
import functools
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from engine.bundle import Bundle, Manifest, explain
from engine.errors import BundleError, UsageError
from engine.file_entry import FileEntry
from engine.heads import ALL_FAMILIES, Classifier, Head, check_outputs, class_columns, guess_families
from engine.heads.classifier import Scores, kind_of_scores
from engine.inference import InferenceBackend, Signature, make_backend
from engine.input_spec import InputSpec
from engine.labels import COCO
from engine.load import did_you_mean
from engine.picture import Pixels

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImportOptions:
    """What the person who imports knows; None leaves it to the file, or to the family's usual way.

    Attributes:
        family: a key of ALL_FAMILIES.
        labels: class names.
        input: changes to the family's preprocessing, by field of InputSpec.
        name, source, licence: for the manifest.
    """

    family: str | None = None
    labels: tuple[str, ...] | None = None
    input: tuple[tuple[str, Any], ...] = ()
    name: str | None = None
    source: str = ""
    licence: str = ""


def describe_onnx(path: Path, options: ImportOptions | None = None) -> Bundle:
    """Describe an ONNX file as a bundle, after running one picture through it.

    Raises:
        BundleError: no ONNX model, of another family than said, of a family that cannot be told, or with another
            number of classes than labels.
        UsageError: an option makes no sense.
    """
    if not path.is_file():
        raise BundleError(f"{path}: no such model file")
    stat = path.stat()
    return _describe(path, options or ImportOptions(), (stat.st_mtime_ns, stat.st_size))


@functools.lru_cache(maxsize=8)
def _describe(path: Path, options: ImportOptions, _version: tuple[int, int]) -> Bundle:
    # Cached because every copy of a detector asks again; the file's time and size notice another file.
    if options.family is not None and options.family not in ALL_FAMILIES:
        raise UsageError(f"unknown family '{options.family}'{did_you_mean(options.family, ALL_FAMILIES)}")
    backend = make_backend()
    signature = backend.inspect(path)
    outputs: dict[tuple[int, int], list[NDArray[Any]]] = {}
    fitting: list[Bundle] = []
    for family in [options.family] if options.family else list(ALL_FAMILIES):
        if family == Classifier.family and fitting:
            break  # told already; a detector may not even run at a classifier's size
        draft = _draft(path, family, options, signature)
        size_wh = draft.manifest.input.size_wh
        if size_wh not in outputs:
            outputs[size_wh] = run_once(draft, backend)
        if options.family or family in guess_families(outputs[size_wh], size_wh):
            fitting.append(draft)
    if len(fitting) != 1:
        raise BundleError(
            f"{path}: the family cannot be told from its outputs ({'; '.join(map(str, signature.outputs))}); say it: "
            f"`vedette models import {path} --family {'|'.join(ALL_FAMILIES)} --labels FILE --out DIR`"
        )
    draft = fitting[0]
    family, (width, height) = draft.manifest.family, draft.manifest.input.size_wh
    head = check_outputs(family, outputs[width, height], (width, height), str(path))
    labels = options.labels or _labels(path, head, signature)
    class_columns(head, len(labels), str(path))
    if options.family is None:
        logger.info("%s: taken for family '%s' at %dx%d with %d classes", path, family, width, height, len(labels))
    update: dict[str, Any] = {"labels": labels}
    if isinstance(head, Classifier):
        update["scores"] = _scores(draft, backend)
    return dataclasses.replace(draft, manifest=draft.manifest.model_copy(update=update))


def _draft(path: Path, family: str, options: ImportOptions, signature: Signature) -> Bundle:
    """Describe the file as one family, without names for the classes, and as if a classifier gave logits."""
    files = {"onnx": FileEntry.of(path)}
    # PyTorch's exporter puts the weights beside the graph, under this name.
    weights = path.with_name(path.name + ".data")
    if weights.is_file():
        files["onnx_data"] = FileEntry.of(weights)
    manifest = Manifest(
        name=options.name or path.stem,
        family=family,
        labels=("?",),
        input=_input_spec(path, family, options, signature),
        scores="logits" if family == Classifier.family else None,
        files=files,
        source=options.source,
        licence=options.licence,
    )
    return Bundle(path.parent, manifest)


def run_once(bundle: Bundle, backend: InferenceBackend) -> list[NDArray[Any]]:
    """Run one grey picture through a bundle's model and give its outputs.

    Raises:
        BundleError: the model cannot be loaded or fails.
    """
    width, height = bundle.manifest.input.size_wh
    return _run(bundle, backend, np.full((1, 3, height, width), 114, np.uint8))


def _run(bundle: Bundle, backend: InferenceBackend, pixels: Pixels) -> list[NDArray[Any]]:
    try:
        backend.open(bundle)
        return backend.infer(pixels)
    finally:
        backend.close()


def _scores(bundle: Bundle, backend: InferenceBackend) -> Scores:
    """See what a classifier gives, on pictures that have nothing in common.

    Raises:
        BundleError: scores of several labels at once.
    """
    width, height = bundle.manifest.input.size_wh
    noise = np.random.default_rng(0).integers(0, 256, (2, 3, height, width), np.uint8)
    levels = [np.full((1, 3, height, width), level, np.uint8) for level in (0, 114, 255)]
    try:
        return kind_of_scores(_run(bundle, backend, np.concatenate([*levels, noise]))[0])
    except ValueError as error:
        raise BundleError(f"{bundle.file('onnx')}: not a classifier: {error}") from None


def _input_spec(path: Path, family: str, options: ImportOptions, signature: Signature) -> InputSpec:
    """The family's way, with the file's fixed size and the person's changes."""
    defaults = ALL_FAMILIES[family].defaults
    height, width = signature.image.shape[2:]
    size_wh = (width or defaults.size_wh[0], height or defaults.size_wh[1])
    try:
        return InputSpec.model_validate({**defaults.model_dump(), "size_wh": size_wh, **dict(options.input)})
    except ValidationError as error:
        raise UsageError(f"{path}: {explain(error, InputSpec)}") from None


def _labels(path: Path, head: Head | Classifier, signature: Signature) -> tuple[str, ...]:
    """Class names from the exporter's metadata, else COCO's where the number of classes is COCO's."""
    names = exported_names(signature.metadata)
    if names and head.num_classes in (None, len(names)):
        return names
    coco = head.num_classes in (None, len(COCO)) and not isinstance(head, Classifier)
    if coco or (head.family == "detr" and head.num_classes in (91, len(COCO) + 1)):
        return COCO
    raise BundleError(
        f"{path}: {head.num_classes} classes and no names for them: import it with "
        f"`vedette models import {path} --family {head.family} --labels FILE --out DIR`, one name a line"
    )


def exported_names(metadata: dict[str, str]) -> tuple[str, ...]:
    """Read `names`, which Ultralytics writes as the text of a Python dictionary."""
    try:
        names = ast.literal_eval(metadata.get("names", ""))
    except (ValueError, SyntaxError):
        return ()
    if isinstance(names, dict) and sorted(names) == list(range(len(names))):
        return tuple(str(names[i]) for i in range(len(names)))
    return ()
