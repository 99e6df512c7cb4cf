"""`vedette evaluate <noun>`: compare results with the truth. Every module of `training.evaluation` adds its noun."""

from __future__ import annotations

import importlib
import pkgutil

import typer

import training.evaluation as room


def register(app: typer.Typer) -> None:
    """Add `evaluate` with one command for each judge."""
    judges = typer.Typer(no_args_is_help=True)
    for module in sorted(pkgutil.iter_modules(room.__path__), key=lambda m: m.name):
        found = importlib.import_module(f"{room.__name__}.{module.name}")
        if hasattr(found, "register"):
            found.register(judges)
    app.add_typer(judges, name="evaluate", help="Compare results with the truth: detections, tracks, flow, events.")
