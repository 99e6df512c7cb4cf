"""What writers of label files share: names for pictures, copies of them, and a folder that appears whole."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from engine.errors import SourceError, UsageError
from training.dataset import Dataset


def copy_pictures(parts: Mapping[str, Dataset], folder: Path, by_part: bool = False) -> dict[Path, str]:
    """Copy the pictures of a data set into one folder.

    Args:
        parts: whose pictures.
        folder: is made.
        by_part: each part gets a folder of its own in it.

    Returns:
        The name of each picture, with `/` and relative to the folder. Two pictures of one name are kept apart by
        the folder they come from, or by a number.
    """
    names: dict[Path, str] = {}
    taken: set[str] = set()
    for part, dataset in parts.items():
        for sample in dataset.samples:
            if sample.path not in names:
                start = f"{part}/" if by_part and part else ""
                # Label files are named after the stem, so stems must differ too.
                name = next(name for name in _names(sample.path) if start + Path(name).stem not in taken)
                taken.add(start + Path(name).stem)
                names[sample.path] = start + name
    for path, name in names.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(path, target)
        except OSError as error:
            raise SourceError(f"{path}: cannot be copied to {folder}: {error.strerror}") from None
    return names


def _names(path: Path) -> Iterator[str]:
    yield path.name
    yield f"{path.parent.name}_{path.name}"
    number = 2
    while True:
        yield f"{path.stem}-{number}{path.suffix}"
        number += 1


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Give a temporary folder that becomes `folder` when all went well; nothing is left when it did not.

    Raises:
        UsageError: there is something already.
        SourceError: it cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder}: there is something already; name a new folder")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as temporary:
            fresh = Path(temporary) / "new"
            fresh.mkdir()
            yield fresh
            fresh.rename(folder)
    except OSError as error:
        raise SourceError(f"{folder}: cannot be written: {error.strerror or error}") from None
