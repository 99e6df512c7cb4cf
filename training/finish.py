"""From the best weights of a run to a bundle: exported, compared with PyTorch, judged, measured, described."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import yaml

from engine.bundle import MANIFEST, Bundle, Manifest, write_bundle
from engine.card import Teacher
from engine.errors import BundleError
from engine.heads.yolox import Yolox
from training.bundle_evaluation import judge_bundle
from training.card import make_card
from training.checkpoint import DiskError, TrainedModel, load_trained
from training.dataset import Dataset
from training.export import export_onnx
from training.parity import check_parity
from training.recipe import Recipe
from training.reference import make_reference


def finish_bundle(
    work: Path,
    out: Path,
    *,
    train: Dataset,
    val: Dataset,
    force: bool = False,
    opset: int | None = None,
    max_map_difference: float | None = None,
    teacher: Teacher | None = None,
) -> Bundle:
    """Make a bundle of the best weights of a run.

    Args:
        work: the run's folder, or its `best.pt`.
        out: the bundle's folder; it appears complete or not at all.
        train: what the model has learned from: the reference statistics are taken there.
        val: held-out pictures: the figures and the comparison with PyTorch are made there.
        force: replace another bundle at `out`.
        opset: version of ONNX's operators; the recipe's by default.
        max_map_difference: points of mAP, 0..100, that PyTorch and ONNX Runtime may differ by; the recipe's by default.
        teacher: the model that labelled the pictures, where people did not.

    Raises:
        BundleError: no checkpoint, a model that ONNX Runtime runs differently, or something else at `out`.
        SourceError: a picture cannot be read.
        DiskError: no room.
    """
    check_out(out, force)
    trained = load_trained(work)
    recipe = Recipe.model_validate(yaml.safe_load(trained.recipe))
    limit = recipe.export.max_map_difference if max_map_difference is None else max_map_difference
    try:
        with tempfile.TemporaryDirectory(prefix="vedette-export-") as temporary:
            folder = Path(temporary)
            files = {"onnx": folder / f"{recipe.name}.onnx"}
            export_onnx(
                trained.detector, files["onnx"], input_wh=trained.input_wh, labels=trained.labels,
                opset=opset or recipe.export.opset,
            )  # fmt: skip
            bundle = write_bundle(folder / "bundle", _manifest(trained, recipe, teacher), files)
            parity = check_parity(trained.detector, bundle, val, max_map_difference=limit)
            evaluation = judge_bundle(bundle, val)
            files |= {role: folder / f"{role}.json" for role in ("evaluation", "card")}
            files["reference"] = folder / "reference.npz"
            make_reference(train, bundle).save(files["reference"])
            files["evaluation"].write_text(json.dumps(evaluation.as_json(), indent=1) + "\n", encoding="utf-8")
            card = make_card(recipe, train, val, evaluation, parity, teacher)
            files["card"].write_text(card.to_json(), encoding="utf-8")
            return write_bundle(out, bundle.manifest, files, force)
    except OSError as error:
        raise DiskError(
            f"{out}: the bundle cannot be written: {error.strerror}; make room, then: vedette export {work} --out {out}"
        ) from None


def check_out(out: Path, force: bool) -> None:
    """Refuse a place where `finish_bundle` could not put a bundle.

    Raises:
        BundleError: there is something else; `force` replaces a bundle, never other folders.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not (out / MANIFEST).is_file():
        raise BundleError(f"{out}: there is something else already, and no bundle; choose another --out")
    if not force:
        raise BundleError(f"{out}: there is a bundle already; choose another --out, or --force")


def _manifest(trained: TrainedModel, recipe: Recipe, teacher: Teacher | None) -> Manifest:
    begun = "random weights" if recipe.model.init is None else recipe.model.init.name
    return Manifest(
        name=recipe.name,
        family=Yolox.family,
        labels=trained.labels,
        input=Yolox.defaults.model_copy(update={"size_wh": trained.input_wh}),
        files={},
        source=f"trained by Vedette from {begun}" + (f", taught by {teacher.name}" if teacher else ""),
        licence=recipe.licence,
    )
