"""The packages that a plain install does not have: the extra `training`."""

from __future__ import annotations

import importlib.util

from engine.errors import UsageError

PACKAGES = ("torch", "albumentations", "onnx", "pycocotools")


def need_training(what: str) -> None:
    """Refuse to begin where a package is missing: its absence must not show after hours of training.

    Args:
        what: what is to be done, as the first word of the sentence.

    Raises:
        UsageError: names the packages and how to install them.
    """
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(f"{what} needs {', '.join(missing)}: pip install 'vedette[training]'")
