"""What must hold between the parts of a file, whatever else is wrong with it.

Each rule looks at the data as they stand in the file, so that a mistake in one place hides none
in another. What concerns a single value is a matter of its type: see fields.
"""

from collections.abc import Callable, Iterator
from typing import Final

from exporter.config.document import Data
from exporter.config.problems import Fault, Path, write_path
from exporter.config.values import did_you_mean, show

Keys = dict[str, Data]


def check_rules(data: Keys) -> Iterator[Fault]:
    """Yield where the parts of a file contradict one another."""
    for rule in _RULES:
        yield from rule(data)


def target_names_differ(data: Keys) -> Iterator[Fault]:
    """Every target has a name of its own: it is the label that tells them apart."""
    yield from _duplicates(data, ("targets",), "target")


def client_names_differ(data: Keys) -> Iterator[Fault]:
    """No list of clients names one twice; a target's own may replace one of the file's."""
    yield from _duplicates(data, ("clients",), "client")
    for path, target in _items(data, ("targets",)):
        yield from _duplicates(target, (*path, "clients"), "client")


def only_a_pgbouncer_has_a_server(data: Keys) -> Iterator[Fault]:
    """`server` says what is behind a PgBouncer; a PostgreSQL stands for itself."""
    for path, target in _items(data, ("targets",)):
        if target.get("server") is not None and _kind(target) == "postgresql":
            message = "stands only on a target of kind pgbouncer, for the PostgreSQL behind it"
            yield Fault((*path, "server"), message)


def server_is_a_target(data: Keys) -> Iterator[Fault]:
    """`server` names a PostgreSQL that is watched too."""
    kinds = {_text(target, "name"): _kind(target) for _, target in _items(data, ("targets",))}
    for path, target in _items(data, ("targets",)):
        server = _text(target, "server")
        if server and _kind(target) == "pgbouncer" and kinds.get(server) != "postgresql":
            names = [name for name, kind in kinds.items() if name and kind == "postgresql"]
            hint = did_you_mean(server, names) or "name one that is"
            yield Fault((*path, "server"), f"{show(server)} is no postgresql target; {hint}")


_RULES: Final[tuple[Callable[[Keys], Iterator[Fault]], ...]] = (
    target_names_differ,
    client_names_differ,
    only_a_pgbouncer_has_a_server,
    server_is_a_target,
)


def _duplicates(holder: Keys, path: Path, what: str) -> Iterator[Fault]:
    """Yield the items of a list whose name stands above already."""
    first: dict[str, Path] = {}
    for item_path, item in _items(holder, path):
        name = _text(item, "name")
        if name and name in first:
            message = f"there is a {what} {show(name)} already: {write_path(first[name])}"
            yield Fault((*item_path, "name"), message)
        elif name:
            first[name] = item_path


def _items(holder: Keys, path: Path) -> Iterator[tuple[Path, Keys]]:
    """Yield the groups of keys in the list under the last key of a path, each with its path."""
    items = holder.get(str(path[-1]))
    for index, item in enumerate(items if isinstance(items, list) else []):
        if isinstance(item, dict):
            yield (*path, index), item


def _kind(target: Keys) -> Data:
    """Return what kind a target says that it is."""
    return target.get("kind") or "postgresql"


def _text(keys: Keys, key: str) -> str | None:
    """Return the text under a key, if there is one."""
    value = keys.get(key)
    return value if isinstance(value, str) else None
