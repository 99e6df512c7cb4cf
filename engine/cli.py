"""The command line. Each room brings its commands; errors become one sentence and an exit code, never a traceback.

Exit codes: 0 done, 1 a comparison found a difference, 2 wrong usage or configuration, 3 a file, model or camera
could not be used, 70 an internal error.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import pkgutil
import sys
from pathlib import Path

import typer

from engine.errors import VedetteError
from engine.redact import redact

ROOMS = ("engine", "operators", "deployments", "training")

logger = logging.getLogger(__name__)


def make_app() -> typer.Typer:
    """Gather the commands of every room that is installed."""
    app = typer.Typer(
        name="vedette",
        help="Streaming video analytics: point it at RTSP cameras, read trustworthy events from Kafka.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    for room in ROOMS:
        if importlib.util.find_spec(room) is None:
            continue
        package = importlib.import_module(f"{room}.commands")
        for module in sorted(m.name for m in pkgutil.iter_modules(package.__path__)):
            importlib.import_module(f"{room}.commands.{module}").register(app)
    return app


def group(app: typer.Typer, name: str, help: str = "") -> typer.Typer:
    """Give a group of commands that several rooms fill; the first one who asks makes it, and says what it is for."""
    for found in app.registered_groups:
        if found.name == name and found.typer_instance is not None:
            return found.typer_instance
    made = typer.Typer(help=help, no_args_is_help=True)
    # Typer makes a single command the whole group unless there is a callback.
    made.callback()(lambda: None)
    app.add_typer(made, name=name)
    return made


def _options(
    verbose: bool = typer.Option(False, "--verbose", "-v", help="Say more about what happens."),
    debug: bool = typer.Option(False, "--debug", help="Show tracebacks of internal errors."),
) -> None:
    level = logging.DEBUG if debug else logging.INFO if verbose else logging.WARNING
    handler = _StderrHandler()
    handler.addFilter(_redact_record)
    logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s", handlers=[handler], force=True)


class _StderrHandler(logging.Handler):
    """Writes to what standard error is now, not to what it was when logging began."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr)


def _redact_record(record: logging.LogRecord) -> bool:
    record.msg, record.args = redact(record.getMessage()), ()
    return True


def room_folders() -> dict[str, Path]:
    """Find the folder that each installed room lies in."""
    specs = {room: importlib.util.find_spec(room) for room in ROOMS}
    return {room: Path(spec.origin).parent.parent for room, spec in specs.items() if spec and spec.origin}


def check_rooms() -> None:
    """Refuse to run when the rooms do not share one parent folder: another distribution has taken a name.

    Raises:
        VedetteError: names the folders.
    """
    folders = room_folders()
    if len(set(folders.values())) > 1:
        found = ", ".join(f"{room} in {folder}" for room, folder in folders.items())
        raise VedetteError(
            f"the packages of Vedette must share one folder, but there is {found}; another distribution has installed "
            "files under one of these names: run Vedette in an environment of its own"
        )


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; give the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        check_rooms()
        result = make_app()(arguments, prog_name="vedette", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except VedetteError as error:
        print(f"vedette: {redact(error)}", file=sys.stderr)
        return error.exit_code
    except typer.Exit as stop:
        return stop.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return 0
    except BrokenPipeError:
        # The reader of our output has gone (`| head`): nothing is left to say, and Python must not try at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        # Wrong usage. Typer brings a Click of its own, or not, depending on its version: ask for what they share.
        if hasattr(error, "show") and hasattr(error, "format_message"):
            error.show()
            return 2
        if "--debug" in arguments:
            raise
        text = redact(f"{type(error).__name__}: {error}")
        print(f"vedette: internal error: {text} (`vedette --debug …` shows where)", file=sys.stderr)
        return 70


def script() -> None:
    """Be the `vedette` program."""
    sys.exit(main())


if __name__ == "__main__":
    script()
