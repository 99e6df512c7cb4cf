"""A file of a bundle, as its manifest describes it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator


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
        if not path or "\0" in path or Path(path).is_absolute() or ".." in Path(path).parts:
            raise ValueError(f"must be a path inside the bundle, got {path!r}")
        return path

    @classmethod
    def of(cls, file: Path, name: str | None = None) -> FileEntry:
        """Describe a file as it is now."""
        return cls(path=name or file.name, sha256=sha256_of(file), size=file.stat().st_size)


def sha256_of(path: Path) -> str:
    """Give the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
