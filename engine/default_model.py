"""Where the model is that ships with Vedette: `street-nano`, people and vehicles."""

from __future__ import annotations

from pathlib import Path

from engine.bundle import MANIFEST
from engine.errors import BundleError

NAME = "street-nano"
ROOM = Path(__file__).resolve().parent
FOLDERS = (ROOM / "models", ROOM.parent / "models")
"""An installed package carries its model inside; in a clone it lies beside the code."""


def find_default_model() -> str:
    """Give the folder of the bundle that is used where no other model is named.

    Raises:
        BundleError: it is not installed.
    """
    for folder in FOLDERS:
        if (folder / NAME / MANIFEST).is_file():
            return str(folder / NAME)
    raise BundleError(
        f"the default model {NAME} is in neither {' nor '.join(str(folder) for folder in FOLDERS)}; reinstall Vedette, "
        f"or name a model with --model BUNDLE, or follow what moves with --model motion"
    )
