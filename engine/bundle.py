"""Model bundles: a folder with `manifest.json`, which says all that is needed to use the files beside it."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from engine.errors import BundleError
from engine.file_entry import FileEntry, sha256_of
from engine.heads import ALL_FAMILIES, Classifier
from engine.heads.classifier import Scores
from engine.input_spec import InputSpec
from engine.load import did_you_mean
from engine.trt_engine import TrtEngine

if TYPE_CHECKING:
    from engine.card import Card
    from engine.reference import ReferenceStatistics

MANIFEST = "manifest.json"
SCHEMA: Literal["vedette.bundle/1"] = "vedette.bundle/1"
ABOUT = {"reference": "reference.npz", "evaluation": "evaluation.json", "card": "card.json"}
"""Files about the model, by role: they may be missing, and what the model sees and says does not depend on them."""
_REMEDIES = {
    "reference": "make it again with `vedette reference BUNDLE --data DATA`",
    "evaluation": "make it again with `vedette evaluate detections --model BUNDLE --data DATA --json`",
}
_IMPORT = "import the model again"
_REBUILD = "build it again with `vedette engine build BUNDLE`"


class Manifest(BaseModel):
    """What `manifest.json` says.

    Attributes:
        name: for people, and the `model` header of events.
        family: how raw outputs become boxes or classes; a key of `engine.heads.ALL_FAMILIES`.
        labels: class names in the order of the model's classes.
        input: how a picture becomes the model's input.
        scores: what a classifier gives; None for detectors.
        files: by role; `onnx` is the model itself. See `ABOUT` for those that say more about it.
        engines: TensorRT engines built of the model, in the order they were added.
        source: where the weights come from.
        licence: of the weights.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, serialize_by_alias=True)

    schema_: Annotated[Literal["vedette.bundle/1"], Field(alias="schema")] = SCHEMA
    name: Annotated[str, Field(min_length=1)]
    family: str
    labels: Annotated[tuple[str, ...], Field(min_length=1)]
    input: InputSpec
    scores: Annotated[Scores | None, Field(validate_default=True)] = None
    files: dict[str, FileEntry]
    engines: tuple[TrtEngine, ...] = ()
    source: str = ""
    licence: str = ""

    @field_validator("family")
    @classmethod
    def _known_family(cls, family: str) -> str:
        if family not in ALL_FAMILIES:
            raise ValueError(f"unknown family '{family}'{did_you_mean(family, ALL_FAMILIES)}")
        return family

    @field_validator("scores")
    @classmethod
    def _of_classifiers(cls, scores: Scores | None, info: ValidationInfo) -> Scores | None:
        family = info.data.get("family")
        if family is not None and (family == Classifier.family) != (scores is not None):
            raise ValueError(f"a classifier's says logits or probabilities, others have none; the family is '{family}'")
        return scores

    def to_json(self) -> str:
        """Write it as the file's text."""
        # Most bundles have no engines and are no classifiers, and need not say so.
        without = {key for key in ("engines", "scores") if not getattr(self, key)}
        return json.dumps(self.model_dump(mode="json", exclude=without), indent=2, ensure_ascii=False) + "\n"


@dataclass(frozen=True)
class Bundle:
    """A model that can be used, with everything there is to know about it.

    Attributes:
        root: the folder that file paths are relative to.
        manifest: what is in it.
    """

    root: Path
    manifest: Manifest

    @classmethod
    def load(cls, path: str | Path) -> Bundle:
        """Read a bundle's folder, or describe a bare ONNX file whose family can be told from its outputs.

        The model's files are checked; a damaged file about it (see `ABOUT`) does not stop anyone from using it.

        Raises:
            BundleError: missing, damaged, or not what its manifest says.
        """
        path = Path(path)
        if path.suffix.lower() == ".onnx":
            return cls.of_onnx(path)
        if not path.is_dir():
            raise BundleError(f"{path}: no such model; give a bundle's folder or an .onnx file")
        bundle = cls(path, read_manifest(path / MANIFEST))
        # Whatever else it holds was made from this, and is compared with it.
        bundle.file("onnx")
        bundle.check_files(bundle.manifest.files.keys() - ABOUT.keys())
        return bundle

    @classmethod
    def of_onnx(cls, path: str | Path, family: str | None = None) -> Bundle:
        """Describe a bare ONNX file with its family's usual preprocessing. See `engine.onnx_import`.

        Raises:
            BundleError: no ONNX model, of another family, or of a family that cannot be told.
        """
        from engine.onnx_import import ImportOptions, describe_onnx

        return describe_onnx(Path(path), ImportOptions(family=family))

    @property
    def digest(self) -> str:
        """Short hash of everything that decides what the model sees and says."""
        # Where there is nothing to say about scores, the digest is that of the time before there were any.
        without = {"name": True, "source": True, "licence": True, "engines": True, "scores": not self.manifest.scores}
        text = self.manifest.model_dump_json(exclude={**without, "files": set(ABOUT)})
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def check_detector(self) -> None:
        """Refuse a classifier where boxes are wanted.

        Raises:
            BundleError: says what it is for.
        """
        if self.manifest.family == Classifier.family:
            raise BundleError(
                f"{self._place}: a classifier finds no boxes; use it in a `classify` step, behind a detector"
            )

    def check_classifier(self) -> None:
        """Refuse a detector where objects are to be classified.

        Raises:
            BundleError: says what it is.
        """
        family = self.manifest.family
        if family != Classifier.family:
            raise BundleError(f"{self._place}: a detector (family '{family}') classifies no crops; use it in `detect`")

    @property
    def _place(self) -> Path:
        """What was given as the model: the folder, or the bare file."""
        return self.root if (self.root / MANIFEST).is_file() else self.file("onnx")

    def file(self, role: str) -> Path:
        """Give the path of a file by its role.

        Raises:
            BundleError: the bundle has no such file.
        """
        if role not in self.manifest.files:
            others = f", only {', '.join(self.manifest.files)}" if self.manifest.files else ""
            raise BundleError(f"{self.root}: the bundle has no '{role}' file{others}; {_REMEDIES.get(role, _IMPORT)}")
        return self.root / self.manifest.files[role].path

    def reference(self) -> ReferenceStatistics | None:
        """Give what the training pictures looked like to the model; None where nobody has measured it.

        Raises:
            BundleError: of another version, or damaged.
        """
        from engine.reference import ReferenceStatistics

        path = self._about("reference")
        return None if path is None else ReferenceStatistics.load(path)

    def card(self) -> Card | None:
        """Give where the model comes from and how good it is; None where the bundle has no card.

        Raises:
            BundleError: of another version, or damaged.
        """
        from engine.card import Card

        path = self._about("card")
        return None if path is None else Card.load(path)

    def evaluation(self) -> dict[str, Any] | None:
        """Give the full evaluation as `vedette evaluate detections --json` writes it; None where there is none.

        Raises:
            BundleError: no JSON object.
        """
        path = self._about("evaluation")
        if path is None:
            return None
        data = read_json(path)
        if not isinstance(data, dict):
            raise BundleError(f"{path}: expected a JSON object, got {type(data).__name__}; evaluate the model again")
        return data

    def _about(self, role: str) -> Path | None:
        """Give the path of a file about the model, checked: `load` leaves it to whoever reads it."""
        if role not in self.manifest.files:
            return None
        self.check_files({role})
        return self.file(role)

    def check_files(self, roles: Collection[str] | None = None) -> None:
        """Compare files with the manifest.

        Args:
            roles: which; None is all, those of TensorRT engines too.

        Raises:
            BundleError: one is missing or has other bytes.
        """
        for role, entry in self.manifest.files.items():
            if roles is None or role in roles:
                self._check_file(entry, f"'{role}' file", _REMEDIES.get(role, _IMPORT))
        for engine in self.manifest.engines if roles is None else ():
            for entry in engine.files:
                self._check_file(entry, "TensorRT engine's file", _REBUILD)

    def _check_file(self, entry: FileEntry, what: str, remedy: str) -> None:
        path = self.root / entry.path
        if not path.is_file():
            raise BundleError(f"{path}: the bundle's {what} is missing; {remedy}")
        _check_hash(path, sha256_of(path), entry, remedy)

    def write(self, folder: Path, force: bool = False) -> Bundle:
        """Copy the bundle into a folder of its own: it appears complete or not at all.

        Raises:
            BundleError: the folder is there and holds something else; `force` replaces a bundle, never other folders.
        """
        if folder.exists() and not _may_replace(folder, self.manifest, force):
            raise BundleError(f"{folder}: there is something else already; choose another --out, or --force")
        return _put(folder, self.manifest, {entry.path: self.root / entry.path for entry in _entries(self.manifest)})

    def check_has_folder(self, role: str) -> None:
        """Refuse a bare ONNX file, which has no place for a file of this role.

        Raises:
            BundleError: says how to make a bundle of it.
        """
        if not (self.root / MANIFEST).is_file():
            onnx = self.file("onnx")
            raise BundleError(
                f"{onnx}: a bare model has no place for its {role}; make a bundle of it first: "
                f"`vedette models import {onnx} --out DIR`"
            )

    def add(self, files: Mapping[str, Path]) -> Bundle:
        """Put files about the model into the bundle's own folder, in place of those that it had.

        Args:
            files: by role, a key of `ABOUT`.

        Raises:
            BundleError: this is a bare model and no bundle.
        """
        self.check_has_folder(", ".join(files))
        entries = {role: FileEntry.of(path, ABOUT[role]) for role, path in files.items()}
        manifest = self.manifest.model_copy(update={"files": {**self.manifest.files, **entries}})
        return self._rewrite(manifest, {entries[role].path: path for role, path in files.items()})

    def add_engine(self, engine: TrtEngine, files: Mapping[str, Path]) -> Bundle:
        """Put a TensorRT engine into the bundle's own folder, in place of one of the same name.

        Args:
            engine: what the manifest will say.
            files: where its files lie now, by their path in the bundle.

        Raises:
            BundleError: this is a bare model and no bundle.
        """
        self.check_has_folder("engine")
        others = tuple(other for other in self.manifest.engines if other.file.path != engine.file.path)
        return self._rewrite(self.manifest.model_copy(update={"engines": (*others, engine)}), files)

    def remove_engines(self, paths: Collection[str]) -> Bundle:
        """Take TensorRT engines, by the path of their file, out of the bundle's own folder."""
        kept = tuple(engine for engine in self.manifest.engines if engine.file.path not in paths)
        return self._rewrite(self.manifest.model_copy(update={"engines": kept}), {})

    def read_engine(self, engine: TrtEngine) -> bytes:
        """Read a TensorRT engine. It is executable: what is returned are the very bytes that were verified.

        Raises:
            BundleError: missing, or with other bytes than the manifest says.
        """
        path = self.root / engine.file.path
        if path.exists() and not path.is_file():
            # Reading a pipe, or a link to a device, might never end.
            raise BundleError(f"{path}: the TensorRT engine cannot be read: it is no regular file; {_REBUILD}")
        try:
            data = path.read_bytes()
        except OSError as error:
            raise BundleError(f"{path}: the TensorRT engine cannot be read: {error.strerror}; {_REBUILD}") from None
        _check_hash(path, hashlib.sha256(data).hexdigest(), engine.file, _REBUILD)
        return data

    def _rewrite(self, manifest: Manifest, files: Mapping[str, Path]) -> Bundle:
        """Write the bundle's own folder anew, with other or more files."""
        before, after = ({entry.path for entry in _entries(m)} for m in (self.manifest, manifest))
        # Whatever else lies in the folder, such as a README, stays there.
        kept = {path.relative_to(self.root).as_posix(): path for path in self.root.rglob("*") if path.is_file()}
        for path in before - after:
            kept.pop(path, None)
        return _put(self.root, manifest, {**kept, **files})


def write_bundle(folder: Path, manifest: Manifest, files: Mapping[str, Path], force: bool = False) -> Bundle:
    """Make a bundle of parts that lie anywhere: it appears complete or not at all.

    Args:
        folder: its place.
        manifest: what it says; its `files` are ignored and described anew.
        files: by role. `reference`, `evaluation` and `card` get their usual names, others keep theirs.
        force: replace another bundle there; other folders are never replaced.

    Raises:
        BundleError: a file is missing, two have the same name, or the folder holds something else.
    """
    names = {role: ABOUT.get(role, path.name) for role, path in files.items()}
    for role, path in files.items():
        if not path.is_file():
            raise BundleError(f"{path}: no such file; it should become the bundle's '{role}'")
        if list(names.values()).count(names[role]) > 1:
            raise BundleError(f"{folder}: two files of the bundle would be called '{names[role]}'; rename one")
    entries = {role: FileEntry.of(path, names[role]) for role, path in files.items()}
    manifest = manifest.model_copy(update={"files": entries})
    if folder.exists() and not _may_replace(folder, manifest, force):
        raise BundleError(f"{folder}: there is something else already; choose another --out, or --force")
    return _put(folder, manifest, {names[role]: path for role, path in files.items()})


def _put(folder: Path, manifest: Manifest, files: Mapping[str, Path]) -> Bundle:
    """Write a bundle's folder beside its place, check it, and move it there; `files` are by their names in it."""
    place = folder.resolve()
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=f".{place.name}-") as temporary:
        fresh = Path(temporary) / "new"
        fresh.mkdir()
        for name, path in files.items():
            (fresh / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, fresh / name)
        (fresh / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
        Bundle(fresh, manifest).check_files()
        old = Path(temporary) / "old"
        if place.exists():
            place.rename(old)
        try:
            fresh.rename(place)
        except OSError:
            if old.exists():
                old.rename(place)
            raise
    return Bundle(folder, manifest)


def _entries(manifest: Manifest) -> list[FileEntry]:
    return [*manifest.files.values(), *(entry for engine in manifest.engines for entry in engine.files)]


def _check_hash(path: Path, found: str, entry: FileEntry, remedy: str) -> None:
    if found != entry.sha256:
        raise BundleError(
            f"{path}: damaged or replaced: SHA-256 is {found[:12]}…, the manifest says {entry.sha256[:12]}…; "
            f"{remedy}, or restore the file"
        )


def _may_replace(folder: Path, manifest: Manifest, force: bool) -> bool:
    if folder.is_dir() and not any(folder.iterdir()):
        return True
    try:
        return read_manifest(folder / MANIFEST) == manifest or force
    except BundleError:
        # A damaged bundle may be replaced on request; a folder that never was one must not vanish.
        return force and (folder / MANIFEST).is_file()


def read_manifest(path: Path) -> Manifest:
    """Read a manifest.

    Raises:
        BundleError: missing, no JSON, or with unknown, missing or wrong keys.
    """
    if not path.is_file():
        raise BundleError(f"{path.parent}: no model bundle: it has no {path.name}")
    data = read_json(path)
    schema = data.get("schema") if isinstance(data, dict) else None
    if schema != SCHEMA:
        raise BundleError(f"{path}: schema is {schema!r}, this version of Vedette reads '{SCHEMA}'")
    try:
        return Manifest.model_validate_json(json.dumps(data), strict=True)
    except ValidationError as error:
        raise BundleError(f"{path}: {explain(error, Manifest)}") from None


def read_json(path: Path) -> Any:
    """Read a JSON file of a bundle.

    Raises:
        BundleError: no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BundleError(f"{path}: not valid JSON: {error}") from None


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """Put the first thing that is wrong into a sentence."""
    first: Mapping[str, Any] = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        key = str(first["loc"][-1])
        owner = _owner(model, first["loc"])
        return f"{place}: unknown key '{key}'{did_you_mean(key, [f.alias or n for n, f in owner.model_fields.items()])}"
    return f"{place}: {first['msg'].removeprefix('Value error, ')}"


def _owner(model: type[BaseModel], location: tuple[Any, ...]) -> type[BaseModel]:
    """Find the model that a key was written into."""
    parts: dict[str, type[BaseModel]] = {"input": InputSpec, "files": FileEntry, "engines": TrtEngine}
    return parts.get(str(location[0]), model) if len(location) > 1 else model
