"""`python -m engine` is `vedette`."""

from engine.cli import script

script()
