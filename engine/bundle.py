"""Model bundles: a folder with `manifest.json`, which says all that is needed to use the files beside it."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from engine.errors import BundleError
from engine.heads import FAMILIES
from engine.input_spec import InputSpec
from engine.load import did_you_mean

MANIFEST = "manifest.json"
SCHEMA: Literal["vedette.bundle/1"] = "vedette.bundle/1"


class FileEntry(BaseModel):
    """A file of a bundle.

    Attributes:
        path: relative to the bundle's folder.
        sha256: of its bytes, in hexadecimal.
        size: in bytes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    size: Annotated[int, Field(ge=0)]

    @field_validator("path")
    @classmethod
    def _stays_inside(cls, path: str) -> str:
        if not path or Path(path).is_absolute() or ".." in Path(path).parts:
            raise ValueError(f"must be a path inside the bundle, got '{path}'")
        return path

    @classmethod
    def of(cls, file: Path, name: str | None = None) -> FileEntry:
        """Describe a file as it is now."""
        return cls(path=name or file.name, sha256=sha256_of(file), size=file.stat().st_size)


class Manifest(BaseModel):
    """What `manifest.json` says.

    Attributes:
        name: for people, and the `model` header of events.
        family: how raw outputs become boxes; a key of `engine.heads.FAMILIES`.
        labels: class names in the order of the model's classes.
        input: how a picture becomes the model's input.
        files: by role; `onnx` is the model itself.
        source: where the weights come from.
        licence: of the weights.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, serialize_by_alias=True)

    schema_: Annotated[Literal["vedette.bundle/1"], Field(alias="schema")] = SCHEMA
    name: Annotated[str, Field(min_length=1)]
    family: str
    labels: Annotated[tuple[str, ...], Field(min_length=1)]
    input: InputSpec
    files: dict[str, FileEntry]
    source: str = ""
    licence: str = ""

    @field_validator("family")
    @classmethod
    def _known_family(cls, family: str) -> str:
        if family not in FAMILIES:
            raise ValueError(f"unknown family '{family}'{did_you_mean(family, FAMILIES)}")
        return family

    def to_json(self) -> str:
        """Write it as the file's text."""
        return json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"


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

        Raises:
            BundleError: missing, damaged, or not what its manifest says.
        """
        path = Path(path)
        if path.suffix.lower() == ".onnx":
            return cls.of_onnx(path)
        if not path.is_dir():
            raise BundleError(f"{path}: no such model; give a bundle's folder or an .onnx file")
        bundle = cls(path, read_manifest(path / MANIFEST))
        bundle.check_files()
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
        text = self.manifest.model_dump_json(exclude={"name", "source", "licence"})
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def file(self, role: str) -> Path:
        """Give the path of a file by its role.

        Raises:
            BundleError: the bundle has no such file.
        """
        if role not in self.manifest.files:
            raise BundleError(f"{self.root}: the bundle has no '{role}' file, only {', '.join(self.manifest.files)}")
        return self.root / self.manifest.files[role].path

    def check_files(self) -> None:
        """Compare every file with the manifest.

        Raises:
            BundleError: one is missing or has other bytes.
        """
        for role, entry in self.manifest.files.items():
            path = self.root / entry.path
            if not path.is_file():
                raise BundleError(f"{path}: the bundle's '{role}' file is missing; import the model again")
            found = sha256_of(path)
            if found != entry.sha256:
                raise BundleError(
                    f"{path}: damaged or replaced: SHA-256 is {found[:12]}…, the manifest says {entry.sha256[:12]}…; "
                    f"import the model again, or restore the file"
                )

    def write(self, folder: Path, force: bool = False) -> Bundle:
        """Copy the bundle into a folder of its own: it appears complete or not at all.

        Raises:
            BundleError: the folder is there and holds something else; `force` replaces a bundle, never other folders.
        """
        if folder.exists() and not _may_replace(folder, self.manifest, force):
            raise BundleError(f"{folder}: there is something else already; choose another --out, or --force")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as temporary:
            fresh = Path(temporary) / "new"
            fresh.mkdir()
            for role, entry in self.manifest.files.items():
                (fresh / entry.path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(self.file(role), fresh / entry.path)
            (fresh / MANIFEST).write_text(self.manifest.to_json(), encoding="utf-8")
            Bundle(fresh, self.manifest).check_files()
            if folder.exists():
                folder.rename(Path(temporary) / "old")
            fresh.rename(folder)
        return Bundle(folder, self.manifest)


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
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BundleError(f"{path}: not valid JSON: {error}") from None
    schema = data.get("schema") if isinstance(data, dict) else None
    if schema != SCHEMA:
        raise BundleError(f"{path}: schema is {schema!r}, this version of Vedette reads '{SCHEMA}'")
    try:
        return Manifest.model_validate_json(json.dumps(data), strict=True)
    except ValidationError as error:
        raise BundleError(f"{path}: {explain(error, Manifest)}") from None


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
    parts: dict[str, type[BaseModel]] = {"input": InputSpec, "files": FileEntry}
    return parts.get(str(location[0]), model) if len(location) > 1 else model


def sha256_of(path: Path) -> str:
    """Give the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
