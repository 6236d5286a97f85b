"""The types of the file's keys: how each is read, bounded, and described in the JSON schema.

Each takes the text that stands in the file, and the value itself for callers in Python.
Messages say what would be right; they go to the user as they stand.
"""

from functools import partial
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, PlainSerializer, PlainValidator, SecretStr, WithJsonSchema

from exporter.config.values import (
    DURATION_PATTERN,
    RATIO_PATTERN,
    Network,
    describe,
    format_duration,
    format_ratio,
    parse_count,
    parse_duration,
    parse_network,
    parse_ratio,
    show,
    split_address,
)
from exporter.server.dsn import check_dsn

RESERVED_CLIENTS: Final = ("other", "pgconn-exporter", "prepared transaction")
LABELS: Final = ("client_addr", "usename", "application_name", "datname")
_FLAGS: Final = {"true": True, "false": False}
_VARIABLE: Final = r"\$\{"  # a value from the environment, which a schema cannot look into

Label = Literal["client_addr", "usename", "application_name", "datname"]


def read_text(value: object) -> str:
    """Take one value as text; ValueError for a list, a group of keys or nothing."""
    if isinstance(value, str):
        return value
    raise ValueError(f"must be one value, not {describe(value)}")


def read_duration(value: object, least: float, most: float) -> float:
    """Take a duration in seconds between two bounds; ValueError says the bound."""
    seconds = value if isinstance(value, float | int) else parse_duration(read_text(value))
    if seconds <= 0:
        raise ValueError("must be longer than zero")
    if seconds < least:
        raise ValueError(f"{show(value)} is too short; the shortest is {format_duration(least)}")
    if seconds > most:
        raise ValueError(f"{show(value)} is too long; the longest is {format_duration(most)}")
    return float(seconds)


def read_limit(value: object) -> float:
    """Take a client's own limit in seconds; ValueError, as no limit is said by no key."""
    try:
        return read_duration(value, least=0.001, most=float("inf"))
    except ValueError as error:
        if str(error).startswith("must be longer"):
            raise ValueError(f"{error}; leave the key out if there is no limit") from None
        raise


def read_ratio(value: object) -> float:
    """Take a share above 0 and up to 1; ValueError says the bounds."""
    ratio = value if isinstance(value, float | int) else parse_ratio(read_text(value))
    if not 0 < ratio <= 1:
        raise ValueError(f"{show(value)} must be above 0% and at most 100%")
    return float(ratio)


def read_count(value: object, least: int, most: int) -> int:
    """Take a whole number between two bounds; ValueError says the bounds."""
    count = value if isinstance(value, int) else parse_count(read_text(value))
    if not least <= count <= most:
        raise ValueError(f"{show(value)} is out of range; write a number from {least} to {most}")
    return count


def read_name(value: object) -> str:
    """Take a name, which becomes a label value; ValueError where nobody could read it."""
    name = read_text(value)
    if not name.strip():
        raise ValueError("must not be empty")
    if not name.isprintable():
        raise ValueError("must be printable text in one line")
    return name


def read_client_name(value: object) -> str:
    """Take a client group's name; ValueError for those that the metrics use themselves."""
    name = read_name(value)
    if name in RESERVED_CLIENTS:
        raise ValueError(f"{name!r} is a name that the metrics use themselves; choose another")
    return name


def read_flag(value: object) -> bool:
    """Take true or false, as YAML 1.2 writes them; ValueError for anything else."""
    if isinstance(value, bool):
        return value
    text = read_text(value)
    if text.lower() not in _FLAGS:
        raise ValueError(f"must be true or false, not {show(text)}")
    return _FLAGS[text.lower()]


def read_dsn(value: object) -> SecretStr:
    """Take a connection string; ValueError says what is wrong without quoting it."""
    dsn = value.get_secret_value() if isinstance(value, SecretStr) else read_text(value)
    if fault := check_dsn(dsn):
        raise ValueError(fault)
    return SecretStr(str(dsn))


def read_path(value: object) -> Path:
    """Take the path of a file, which need not exist yet."""
    path = value if isinstance(value, Path) else Path(read_name(value))
    if path.name in {"", ".."}:
        raise ValueError("must be the path of a file")
    return path


def read_network(value: object) -> Network:
    """Take an address, a network or `local`; ValueError says how to write it."""
    if isinstance(value, IPv4Network | IPv6Network):
        return value
    return parse_network(read_text(value))


def read_address(value: object) -> str:
    """Take an address to listen on; ValueError says how to write it."""
    address = read_text(value)
    split_address(address)
    return str(address)


def one_or_many(value: object) -> object:
    """Make one value a list of one; ValueError for an empty list."""
    if value == []:
        raise ValueError("is an empty list, which no connection can match; leave the key out")
    return [value] if isinstance(value, str) else value


def in_label_order(labels: tuple[Label, ...]) -> tuple[Label, ...]:
    """Put labels into the order of the metric contract; ValueError where one stands twice."""
    twice = next((label for label in labels if labels.count(label) > 1), None)
    if twice:
        raise ValueError(f"{twice!r} stands twice")
    return tuple(sorted(labels, key=LABELS.index))


def _text_schema(pattern: str, *examples: str) -> WithJsonSchema:
    """Describe a text that matches a pattern or comes from the environment."""
    return WithJsonSchema(
        {"type": "string", "pattern": f"^({pattern})$|{_VARIABLE}", "examples": list(examples)}
    )


def _count_schema(least: int, most: int) -> WithJsonSchema:
    """Describe a whole number, which may come from the environment."""
    number = {"type": "integer", "minimum": least, "maximum": most}
    return WithJsonSchema({"anyOf": [number, {"type": "string", "pattern": _VARIABLE}]})


def _one_or_many_schema(**one: str) -> WithJsonSchema:
    """Describe one value or a list of them."""
    item = {"type": "string", **one}
    return WithJsonSchema({"anyOf": [item, {"type": "array", "items": item, "minItems": 1}]})


_DURATION_SCHEMA: Final = _text_schema(DURATION_PATTERN, "30s", "5m", "1h30m")
_DURATION_FORM: Final = PlainSerializer(format_duration, return_type=str, when_used="json")
_RATIO_SCHEMA: Final = WithJsonSchema(
    {
        "anyOf": [
            {"type": "string", "pattern": f"^({RATIO_PATTERN})$|{_VARIABLE}"},
            {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
        ],
        "examples": ["1%", 0.01],
    }
)
_NAME_SCHEMA: Final = WithJsonSchema({"type": "string", "minLength": 1})

Interval = Annotated[
    float,
    PlainValidator(partial(read_duration, least=0.1, most=86400.0)),
    _DURATION_FORM,
    _DURATION_SCHEMA,
]
Deadline = Annotated[
    float,
    # PostgreSQL's statement_timeout ends at 24.8 days; nobody waits a day for a poll.
    PlainValidator(partial(read_duration, least=0.001, most=86400.0)),
    _DURATION_FORM,
    _DURATION_SCHEMA,
]
Duration = Annotated[
    float,
    PlainValidator(partial(read_duration, least=0.001, most=float("inf"))),
    _DURATION_FORM,
    _DURATION_SCHEMA,
]
Limit = Annotated[float, PlainValidator(read_limit), _DURATION_FORM, _DURATION_SCHEMA]
Ratio = Annotated[
    float,
    PlainValidator(read_ratio),
    PlainSerializer(format_ratio, return_type=str, when_used="json"),
    _RATIO_SCHEMA,
]
Top = Annotated[
    int, PlainValidator(partial(read_count, least=1, most=1000)), _count_schema(1, 1000)
]
TextLength = Annotated[
    int, PlainValidator(partial(read_count, least=1, most=10_000)), _count_schema(1, 10_000)
]
MaxSeries = Annotated[
    int, PlainValidator(partial(read_count, least=10, most=1_000_000)), _count_schema(10, 1_000_000)
]
PoolSize = Annotated[
    int, PlainValidator(partial(read_count, least=1, most=1_000_000)), _count_schema(1, 1_000_000)
]
Name = Annotated[str, PlainValidator(read_name), _NAME_SCHEMA]
ClientName = Annotated[
    str,
    PlainValidator(read_client_name),
    WithJsonSchema({"type": "string", "minLength": 1, "not": {"enum": list(RESERVED_CLIENTS)}}),
]
Dsn = Annotated[SecretStr, BeforeValidator(read_dsn), _NAME_SCHEMA]
Flag = Annotated[
    bool,
    PlainValidator(read_flag),
    WithJsonSchema({"anyOf": [{"type": "boolean"}, {"type": "string", "pattern": _VARIABLE}]}),
]
FilePath = Annotated[Path, PlainValidator(read_path), _NAME_SCHEMA]
ListenAddress = Annotated[
    str, PlainValidator(read_address), _text_schema(r".*:[0-9]{1,5}", ":10432", "[::1]:10432")
]
Networks = Annotated[
    tuple[Annotated[Network, PlainValidator(read_network)], ...],
    BeforeValidator(one_or_many),
    _one_or_many_schema(),
]
Globs = Annotated[
    tuple[Annotated[str, PlainValidator(read_text)], ...],
    BeforeValidator(one_or_many),
    _one_or_many_schema(),
]
