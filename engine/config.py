"""The strict YAML loader: what a configuration says is what happens, or it is an error with file, path and value.

Duplicate and unknown keys are errors, only `true` and `false` are booleans, `${NAME}` is substituted after parsing
(percent-encoded in the user and password of a URL).
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import yaml
from pydantic import TypeAdapter, ValidationError

from engine.drift.settings import DriftSettings
from engine.errors import ConfigError
from engine.load import did_you_mean, kinds, load_class
from engine.operator import Composite, Operator, Sink
from engine.pipeline import Pipeline
from engine.redact import Url, redact
from engine.site import Camera, Site, is_url

T = TypeVar("T")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


def load_site(path: Path, environment: Mapping[str, str] | None = None) -> Site:
    """Read a configuration.

    Args:
        path: a YAML file. Relative camera files and one's own modules are found beside it.
        environment: where `${NAME}` comes from; the process's by default.

    Raises:
        ConfigError: names file, path, value, and what was expected.
    """
    if not path.is_file():
        raise ConfigError(f"{path}: no such configuration file")
    values = _substitute(_parse(path), str(path), os.environ if environment is None else environment)
    where = str(path)
    known = ("site", "defaults", "cameras", "pipeline", "sinks", "drift")
    _check_keys(values, known, where, "a configuration")
    cameras = _cameras(values.get("cameras"), values.get("defaults") or {}, path)
    pipeline = _pipeline(values.get("pipeline"), cameras, path)
    sinks = []
    for index, entry in enumerate(_list(values.get("sinks") or [], f"{where}: sinks")):
        at = f"{where}: sinks[{index}]"
        key, options = _only_key(entry, at)
        sinks.append(_build_kind(options.pop("kind", key), options, at, path.parent, Sink))
    site = _field(str, values.get("site", "default"), f"{where}: site")
    drift = _drift(values.get("drift"), path)
    return Site(name=site, cameras=cameras, pipeline=pipeline, sinks=tuple(sinks), drift=drift)


def _cameras(values: Any, defaults: Any, path: Path) -> dict[str, Camera]:
    where = f"{path}: cameras"
    if not isinstance(values, dict) or not values:
        raise ConfigError(
            f'{where}: expected at least one camera, such as `gate: {{url: "rtsp://…"}}`, got {_show(values)}'
        )
    _check_keys(defaults, _field_names(Camera), f"{path}: defaults", "defaults")
    cameras = {}
    for name, entry in values.items():
        at = f"{where}.{name}"
        if not isinstance(name, str) or not re.fullmatch(r"[\w.-]+", name):
            raise ConfigError(f"{at}: a camera's name is letters, digits, '_', '-' and '.', got {_show(name)}")
        if isinstance(entry, str):
            entry = {"url": entry}
        if not isinstance(entry, dict) or "url" not in entry:
            raise ConfigError(f"{at}: expected `url:` with a stream or a file, got {_show(entry)}")
        options = {**defaults, **entry}
        url = _field(str, options.pop("url"), f"{at}.url")
        if not is_url(url):
            url = _find(url, path.parent)
        camera = build(Camera, options, at, given={"url": Url(url), "beside": path.parent})
        cameras[name] = camera
    return cameras


def _pipeline(values: Any, cameras: Mapping[str, Camera], path: Path) -> Pipeline:
    where = f"{path}: pipeline"
    pipeline = Pipeline(path.stem)
    for index, entry in enumerate(_list(values, where)):
        at = f"{where}[{index}]"
        key, options = _only_key(entry, at)
        name = _field(str, options.pop("name", key), f"{at}.name")
        kind = _field(str, options.pop("kind", key), f"{at}.kind")
        only = options.pop("cameras", None)
        names = None if only is None else _field(tuple[str, ...], only, f"{at}.cameras")
        for camera in names or ():
            if camera not in cameras:
                raise ConfigError(f"{at}.cameras: no camera is called '{camera}'{did_you_mean(camera, cameras)}")
        operator = _build_kind(kind, options, at, path.parent, (Operator, Composite))
        pipeline = pipeline.then(operator, name, names, at)
    return pipeline


def _drift(values: Any, path: Path) -> DriftSettings | None:
    where = f"{path}: drift"
    if values is False:
        return None
    if values is None or values is True:
        values = {}
    if not isinstance(values, dict):
        raise ConfigError(f"{where}: expected settings as keys and values, or false, got {_show(values)}")
    settings = build(DriftSettings, values, where, what="drift")
    # A state that is to be found again does not depend on where a run is started.
    reference = None if settings.reference is None else _find(settings.reference, path.parent)
    state = None if settings.state is None else str(path.parent / settings.state)
    return dataclasses.replace(settings, reference=reference, state=state)


def _build_kind(kind: Any, options: dict[str, Any], at: str, beside: Path, base: type | tuple[type, ...]) -> Any:
    try:
        found = load_class(_field(str, kind, f"{at}.kind"), beside)
    except ConfigError as error:
        raise ConfigError(str(error) if str(error).startswith(at) else f"{at}: {error}") from None
    if not issubclass(found, base) or not dataclasses.is_dataclass(found):
        wanted = " or ".join(b.__name__ for b in (base if isinstance(base, tuple) else (base,)))
        raise ConfigError(f"{at}: kind '{kind}' is no {wanted} (a dataclass that derives from it)")
    if isinstance(options.get("model"), str):
        options = {**options, "model": _find(options["model"], beside)}
    return build(found, options, at, what=kind)


def _find(path: str, beside: Path) -> str:
    """Prefer what lies beside the configuration, wherever one stands; what is nowhere is named as lying there."""
    return path if not (beside / path).exists() and Path(path).exists() else str(beside / path)


def build(cls: type[T], options: dict[str, Any], at: str, what: str = "", given: Mapping[str, Any] | None = None) -> T:
    """Make a dataclass from configuration values, checked field by field.

    Args:
        cls: a dataclass; its annotations are the schema.
        options: what the file says.
        at: the place, for messages.
        what: what to call it in messages.
        given: fields that do not come from the file.

    Raises:
        ConfigError: an unknown or missing key, a wrong type, or a value that the class refuses.
    """
    given = given or {}
    names = [name for name in _field_names(cls) if name not in given]
    _check_keys(options, names, at, what or cls.__name__.lower())
    hints = typing.get_type_hints(cls, include_extras=True)
    values = {name: _field(hints[name], value, f"{at}.{name}") for name, value in options.items()}
    for item in dataclasses.fields(cls):  # type: ignore[arg-type]
        required = item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
        if required and item.init and item.name not in values and item.name not in given:
            raise ConfigError(f"{at}: missing key '{item.name}'; {what or 'it'} accepts: {', '.join(names)}")
    try:
        return cls(**values, **given)
    except ValueError as error:
        # A class's own sentence often begins with the field it is about: then the place takes it over.
        first, _, rest = str(error).partition(" ")
        place = f"{at}.{first.rstrip(':')}: {rest}" if first.rstrip(":") in names else f"{at}: {error}"
        raise ConfigError(redact(place)) from None


def _field(hint: Any, value: Any, at: str) -> Any:
    try:
        text = json.dumps(value)
    except TypeError:
        raise ConfigError(f"{at}: expected a plain value, got {_show(value)}") from None
    try:
        return TypeAdapter(hint).validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        inner = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in first["loc"] if not _is_tag(p))
        message = first["msg"].replace("Input should be", "expected").replace("Value error, ", "")
        raise ConfigError(f"{at}{inner}: {message}, got {_show(first['input'])}") from None


def _is_tag(part: int | str) -> bool:
    """Pydantic names the branch of a union it tried, such as 'int' or 'literal[…]': no place in the file."""
    return isinstance(part, str) and (part in {"int", "float", "str", "bool"} or "[" in part)


def _check_keys(options: Any, accepted: typing.Iterable[str], at: str, what: str) -> None:
    if not isinstance(options, dict):
        raise ConfigError(f"{at}: expected keys and values, got {_show(options)}")
    names = list(accepted)
    for key in options:
        if key not in names:
            near = did_you_mean(str(key), names)
            hint = near if near.startswith(" (") else ""
            raise ConfigError(f"{at}: unknown key '{key}'; {what} accepts: {', '.join(names) or 'nothing'}{hint}")


def _only_key(entry: Any, at: str) -> tuple[str, dict[str, Any]]:
    if isinstance(entry, str):
        return entry, {}
    if not isinstance(entry, dict) or len(entry) != 1:
        known = ", ".join(kinds()[:4])
        raise ConfigError(
            f"{at}: expected one kind with its options, such as `- {known.split(',')[0]}: {{}}`, got {_show(entry)}"
        )
    key, options = next(iter(entry.items()))
    if not isinstance(key, str) or not isinstance(options, dict | None):
        raise ConfigError(f"{at}.{key}: expected options as keys and values, got {_show(options)}")
    return key, dict(options or {})


def _list(values: Any, at: str) -> list[Any]:
    if not isinstance(values, list):
        raise ConfigError(f"{at}: expected a list of entries that begin with '-', got {_show(values)}")
    return values


def _field_names(cls: type) -> list[str]:
    return [f.name for f in dataclasses.fields(cls) if f.init]


def _show(value: Any) -> str:
    text = redact(json.dumps(value, ensure_ascii=False, default=str))
    return text if len(text) <= 80 else text[:77] + "..."


def _substitute(value: Any, at: str, environment: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {
            k: _substitute(v, f"{at}: {k}" if ": " not in at else f"{at}.{k}", environment) for k, v in value.items()
        }
    if isinstance(value, list):
        return [_substitute(v, f"{at}[{i}]", environment) for i, v in enumerate(value)]
    if not isinstance(value, str):
        return value
    # The user and password of a URL end at its last '@' before the path.
    authority = re.match(r"^[a-zA-Z][a-zA-Z0-9+.-]*://[^/]*@", value)
    secret_end = authority.end() if authority else 0

    def replacement(match: re.Match[str]) -> str:
        name, default = match.group(1), match.group(2)
        text = environment.get(name, default)
        if text is None:
            raise ConfigError(
                f"{at}: the environment variable {name} is not set; set it, or write ${{{name}:-default}}"
            )
        return quote(text, safe="") if match.start() < secret_end else text

    return _VARIABLE.sub(replacement, value)


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader without YAML 1.1's surprises."""


def _construct_mapping(loader: _StrictLoader, node: yaml.MappingNode, deep: bool = True) -> dict[Any, Any]:
    out: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str | int | float | bool):
            raise ConfigError(f"line {key_node.start_mark.line + 1}: a key must be a word, got {_show(key)}")
        if key in out:
            raise ConfigError(f"line {key_node.start_mark.line + 1}: the key '{key}' stands twice; keep one of them")
        out[key] = loader.construct_object(value_node, deep=True)
    return out


_StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _construct_mapping)
_StrictLoader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in resolvers
        if tag not in ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp")
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_StrictLoader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(?:true|false)$"), list("tf"))


def _parse(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as UTF-8 text: {error}") from None
    try:
        values = yaml.load(text, _StrictLoader)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}: line {mark.line + 1}, column {mark.column + 1}" if mark else str(path)
        raise ConfigError(f"{place}: not YAML: {getattr(error, 'problem', None) or error}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected a configuration with `cameras:` and `pipeline:`, got {_show(values)}")
    return values
