"""pydantic's errors in our own words: what is wrong, and what to write instead.

pydantic speaks to programmers, and of the values themselves, which may be secrets.
"""

import re
from collections.abc import Iterator
from typing import Final, get_args

from pydantic import BaseModel, ValidationError

from exporter.config.problems import Fault, Path, is_plain
from exporter.config.values import describe, did_you_mean, show

_WORDS: Final = {
    "missing": "is missing",
    "model_type": "must be a group of keys, not {kind}",
    "tuple_type": "must be a list, each item behind a '- ', not {kind}",
}


def faults_of(error: ValidationError, model: type[BaseModel]) -> Iterator[Fault]:
    """Yield what pydantic found in data for a model, in words for the user."""
    for found in error.errors(include_url=False):
        path: Path = found["loc"]
        kind = describe(found["input"])
        match found["type"]:
            case "value_error":
                yield Fault(path, str(found["ctx"]["error"]))
            case "extra_forbidden":
                yield Fault(path, unknown_key(str(path[-1]), model_at(path[:-1], model)))
            case "literal_error":
                yield Fault(path, _no_choice(found["input"], found["ctx"]["expected"]))
            case other:
                yield Fault(path, _WORDS.get(other, "is not valid here").format(kind=kind))


def unknown_key(key: str, model: type[BaseModel] | None) -> str:
    """Say that a key is not known, and which was probably meant."""
    quoted = repr(key) if is_plain(key) else "that is no plain word"
    if model is None:
        return f"unknown key {quoted}"
    for parent, child in _groups(model).items():
        if key in child.model_fields:
            return f"unknown key {quoted}; it belongs under '{parent}'"
    hint = did_you_mean(key, model.model_fields) or f"valid are {', '.join(model.model_fields)}"
    return f"unknown key {quoted}; {hint}"


def model_at(path: Path, model: type[BaseModel]) -> type[BaseModel] | None:
    """Return the model whose keys stand at a path below another model."""
    inner: type[BaseModel] | None = model
    for key in path:
        if isinstance(key, str):
            inner = _groups(inner).get(key) if inner else None
    return inner


def _groups(model: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """Return those keys of a model that hold keys themselves."""
    found = {key: _model_in(field.annotation) for key, field in model.model_fields.items()}
    return {key: inner for key, inner in found.items() if inner is not None}


def _model_in(annotation: object) -> type[BaseModel] | None:
    """Find the model in a type like `tuple[Target, ...]` or `Probe | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)


def _no_choice(value: object, expected: str) -> str:
    """Say that a value is none of those that there are: `'a', 'b' or 'c'`."""
    if not isinstance(value, str):
        return f"must be one of {expected}, not {describe(value)}"
    hint = did_you_mean(value, re.findall("'([^']+)'", expected))
    return f"{show(value)} is not valid here; " + (hint or f"write {expected}")
