"""From a kind's name to its class: `line_count` is `operators/line_count.py:LineCount`. There is no registry.

`my_pkg.rules:Tailgate` is a class of your own, found beside the YAML file. Its source text travels with the plan to
other processes, and its digest is part of the pipeline's digest.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.util
import pkgutil
import sys
import types
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from engine.errors import ConfigError

ROOM = "operators"


@dataclass(frozen=True)
class UserModule:
    """A module of the user's own, as text, so that it can be shipped to another process."""

    name: str
    path: str
    source: str

    @property
    def digest(self) -> str:
        """SHA-256 of the source text."""
        return hashlib.sha256(self.source.encode()).hexdigest()


_user_modules: dict[str, UserModule] = {}


def camel(kind: str) -> str:
    """The class name of a kind: `line_count` → `LineCount`."""
    return "".join(part.capitalize() for part in kind.split("_"))


def kinds() -> list[str]:
    """Every kind that ships with Vedette, sorted."""
    room = importlib.import_module(ROOM)
    return sorted(m.name for m in pkgutil.iter_modules(room.__path__) if not m.ispkg)


def load_class(kind: str, beside: Path | None = None) -> type:
    """Find the class of a kind.

    Args:
        kind: `line_count`, or `module:Class` for one's own.
        beside: the folder in which one's own modules are looked for; the current one by default.

    Raises:
        ConfigError: there is no such kind, file or class, or importing it failed.
    """
    if ":" in kind:
        return _load_user_class(kind, beside or Path())
    try:
        module = importlib.import_module(f"{ROOM}.{kind}")
    except ModuleNotFoundError as error:
        if error.name == f"{ROOM}.{kind}":
            raise ConfigError(f"unknown kind '{kind}'{did_you_mean(kind, kinds())}") from None
        raise ConfigError(
            f"kind '{kind}' needs the package '{error.name}', which is not installed; "
            f"`vedette doctor` says which extra brings it"
        ) from None
    found = getattr(module, camel(kind), None)
    if not isinstance(found, type):
        raise ConfigError(f"unknown kind '{kind}': {ROOM}/{kind}.py defines no class {camel(kind)}")
    return found


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Give ` (did you mean 'x'?)`, or the list of what is known when nothing is near."""
    options = list(known)
    near = difflib.get_close_matches(word, options, n=1)
    return f" (did you mean '{near[0]}'?)" if near else f"; known: {', '.join(options)}"


def _load_user_class(kind: str, beside: Path) -> type:
    module_name, _, class_name = kind.partition(":")
    if module_name not in _user_modules:
        path = beside / (module_name.replace(".", "/") + ".py")
        if not path.is_file():
            raise ConfigError(f"kind '{kind}': no file {path}")
        install_module(UserModule(module_name, str(path), path.read_text(encoding="utf-8")))
    module = sys.modules[module_name]
    found = getattr(module, class_name, None)
    if not isinstance(found, type):
        classes = [n for n, v in vars(module).items() if isinstance(v, type) and v.__module__ == module_name]
        raise ConfigError(
            f"kind '{kind}': {_user_modules[module_name].path} defines no class {class_name}"
            f"{did_you_mean(class_name, classes)}"
        )
    return found


def install_module(user: UserModule) -> None:
    """Make a user's module importable in this process under its own name.

    Raises:
        ConfigError: the name is taken by another module, or running the file failed.
    """
    known = _user_modules.get(user.name)
    if known is not None and known.digest == user.digest:
        return
    if known is None and (user.name in sys.modules or _is_installed(user.name)):
        raise ConfigError(
            f"kind '{user.name}:…': the name '{user.name}' is taken by an installed module; rename {user.path}"
        )
    module = types.ModuleType(user.name)
    module.__file__ = user.path
    sys.modules[user.name] = module
    try:
        exec(compile(user.source, user.path, "exec"), module.__dict__)
    except Exception as error:
        del sys.modules[user.name]
        raise ConfigError(f"{user.path}: importing it failed: {type(error).__name__}: {error}") from error
    _user_modules[user.name] = user


def _is_installed(name: str) -> bool:
    # `my_pkg.rules`: ask only for the top name, since finding a submodule would import its parent.
    spec = importlib.util.find_spec(name.partition(".")[0])
    if spec is None or spec.origin is None:
        return False
    return Path(spec.origin).resolve().is_relative_to(Path(sys.prefix).resolve()) or spec.origin in (
        "built-in",
        "frozen",
    )


def user_modules() -> tuple[UserModule, ...]:
    """Every user's module that this process has loaded, to be shipped with a plan."""
    return tuple(_user_modules.values())
