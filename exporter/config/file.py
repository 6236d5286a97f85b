"""From a file to a configuration, or to everything that is wrong with it."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Final, TypeVar

from pydantic import ValidationError

from exporter.config.document import Data, Document, UnreadableError, read_document
from exporter.config.model import ClientGroup, Config, File, Model, Probe, Target
from exporter.config.problems import ConfigError, Fault, Problem, write_path
from exporter.config.rules import check_rules
from exporter.config.values import describe
from exporter.config.words import faults_of

_MAX_BYTES: Final = 10_000_000  # nobody's configuration, but perhaps /dev/zero
_MAX_PROBLEMS: Final = 100

ModelT = TypeVar("ModelT", bound=Model)


def load_config(path: Path, environ: Mapping[str, str]) -> Config:
    """Read a configuration file; `environ` gives the values of its `${VAR}`.

    Raises ConfigError with everything that is wrong; its words hold no secret.
    """
    try:
        text = _read(path)
    except UnreadableError as error:
        raise _refusal(str(path), error) from None
    return parse_config(text, str(path), environ)


def parse_config(text: str, source: str, environ: Mapping[str, str]) -> Config:
    """Read a configuration from text as `load_config` does from a file; does no I/O.

    `source` is the file's path for messages, and for the password files relative to it.
    """
    try:
        document = read_document(text, environ)
    except UnreadableError as error:
        raise _refusal(source, error) from None
    file, faults = _validate(document)
    if file is None or faults:
        raise ConfigError(_problems(source, document, faults))
    return _resolve(file, Path(source).parent)


def _read(path: Path) -> str:
    """Read a file as UTF-8, with or without a byte order mark."""
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise UnreadableError(f"cannot be read: {error.strerror or 'no such file'}") from None
    except ValueError:
        raise UnreadableError("cannot be read: its name holds a NUL") from None
    if len(content) > _MAX_BYTES:
        raise UnreadableError(f"is larger than {_MAX_BYTES // 1_000_000} MB")
    return _decode(content)


def _decode(content: bytes) -> str:
    """Decode UTF-8, and tell in which line it is not."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UnreadableError("is not UTF-8 text", line) from None


def _refusal(source: str, error: UnreadableError) -> ConfigError:
    """Make an error of a file that holds no data at all."""
    return ConfigError((Problem(source, error.line, "", str(error)),))


def _validate(document: Document) -> tuple[File | None, list[Fault]]:
    """Validate data; return the file, if it could be made, and everything that is wrong."""
    data = document.data
    if not isinstance(data, dict):
        return None, document.faults or [Fault((), _no_keys(data))]
    file, faults = _make(data)
    found = [fault for fault in (*faults, *check_rules(data)) if fault.path not in document.unread]
    return file, document.faults + found


def _no_keys(data: Data) -> str:
    """Say what a file holds instead of keys."""
    if data is None:
        return "is empty; it needs at least 'targets', the servers to watch"
    return f"must be keys such as 'targets', not {describe(data)}"


def _make(data: dict[str, Data]) -> tuple[File | None, list[Fault]]:
    """Make the file's model, or the faults that are in the way."""
    try:
        return File.model_validate(data), []
    except ValidationError as error:
        # One more than are shown, so that the user is told that there are more.
        return None, list(islice(faults_of(error, File), _MAX_PROBLEMS + 1))


def _problems(source: str, document: Document, faults: Iterable[Fault]) -> tuple[Problem, ...]:
    """Place faults in the file, in its order; of very many only the first."""
    placed = sorted((_place(source, document, fault) for fault in faults), key=_position)
    if len(placed) > _MAX_PROBLEMS:
        more = Problem(source, None, "", "has more problems than these")
        return (*placed[:_MAX_PROBLEMS], more)
    return tuple(placed)


def _place(source: str, document: Document, fault: Fault) -> Problem:
    """Give a fault its line."""
    line = fault.line or document.line_of(fault.path)
    return Problem(source, line, write_path(fault.path), fault.message)


def _position(problem: Problem) -> int:
    """Order problems as they stand in the file, the whole file first."""
    return problem.line or 0


def _resolve(file: File, folder: Path) -> Config:
    """Make every target complete: defaults, clients, and where its password files are."""
    targets = (_complete(target, file, folder) for target in file.targets)
    return Config(web=file.web, targets=tuple(targets))


def _complete(target: Target, file: File, folder: Path) -> Target:
    """Merge what the file says for all targets into one."""
    update = {
        "clients": (*target.clients, *_others(file.clients, target.clients)),
        "password_file": _beside(target.password_file, folder),
        "probe": _placed(target.probe, folder),
    }
    return _merge(file.defaults, target).model_copy(update=update)


def _others(
    clients: Iterable[ClientGroup], replacements: Iterable[ClientGroup]
) -> Iterator[ClientGroup]:
    """Yield the clients whose names are not among the replacements."""
    replaced = {client.name for client in replacements}
    return (client for client in clients if client.name not in replaced)


def _placed(probe: Probe | None, folder: Path) -> Probe | None:
    """Place a probe's password file."""
    if probe is None:
        return None
    return probe.model_copy(update={"password_file": _beside(probe.password_file, folder)})


def _beside(path: Path | None, folder: Path) -> Path | None:
    """Take a relative path from the configuration file's folder."""
    return folder / path if path else None


def _merge(below: Model, above: ModelT) -> ModelT:
    """Return `above` with each key that it does not write itself from `below`, key by key."""
    update: dict[str, object] = {}
    for key in type(below).model_fields:
        lower, upper = getattr(below, key), getattr(above, key)
        if isinstance(upper, Model):
            update[key] = _merge(lower, upper)
        elif key not in above.model_fields_set:
            update[key] = lower
    return above.model_copy(update=update)
