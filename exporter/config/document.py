"""From YAML text to plain data, with the line of every value.

Every scalar stays the text that it is in the file: what it means is for the model to say, so that
`name: no` is a name, `1:30` is no number, and `${COUNT}` may stand where a number is due.
Only this module knows YAML.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import yaml

from exporter.config.environment import replace_variables
from exporter.config.problems import Fault, Path

Data = dict[str, "Data"] | list["Data"] | str | None
_Pairs = dict[str, tuple[yaml.Node, yaml.Node]]

_MAX_DEPTH: Final = 30  # our deepest value has six keys above it
_MAX_VALUES: Final = 100_000  # with aliases followed; 500 targets with all their keys are 30,000
_TAG: Final = "tag:yaml.org,2002:"
_SCALARS: Final = ("str", "int", "float", "bool", "null", "timestamp", "value", "merge")
_TAGS: Final = frozenset(_TAG + name for name in (*_SCALARS, "seq", "map"))
_NULL: Final = _TAG + "null"
_MERGE: Final = _TAG + "merge"


class UnreadableError(Exception):
    """A text out of which no data can be made; `line` counts from 1."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


@dataclass(slots=True)
class Document:
    """What a text holds: its data, the line of each path, and what is wrong already."""

    data: Data = None
    lines: dict[Path, int] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    unread: set[Path] = field(default_factory=set)

    def line_of(self, path: Path) -> int | None:
        """Return the line of a path, or of the longest part of it that there is."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path)


def read_document(text: str, environ: Mapping[str, str]) -> Document:
    """Read YAML and replace `${VAR}` in its values; UnreadableError where it is no YAML."""
    node = _compose(text)
    reader = _Reader(environ)
    if node is not None:
        reader.document.data = reader.read(node, ())
    return reader.document


class _Loader(yaml.SafeLoader):
    """PyYAML's loader, which would answer deep nesting with a RecursionError."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Compose one node, not below the deepest level."""
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise UnreadableError("is nested too deeply", self.line + 1)
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node


def _compose(text: str) -> yaml.Node | None:
    """Parse YAML into nodes, which know their lines."""
    try:
        loader = _Loader(text)
        return loader.get_single_node()
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise UnreadableError("holds a character that YAML does not allow", line) from None
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(error) from None
    except (ValueError, OverflowError):
        # PyYAML on an escape beyond Unicode ("\UFFFFFFFF"), or a huge number in a %YAML line.
        raise UnreadableError("is not valid YAML: a number is out of range", None) from None


def _syntax_error(error: yaml.MarkedYAMLError) -> UnreadableError:
    """Say what PyYAML found, and where, without quoting the file."""
    problem = error.problem or ""
    forgotten_colon = "could not find expected ':'" in problem
    mark = error.context_mark if forgotten_colon else error.problem_mark
    mark = mark or error.problem_mark or error.context_mark
    words = next((words for part, words in _SYNTAX if part in problem), problem)
    if mark is None:
        return UnreadableError(f"is not valid YAML: {words}", None)
    return UnreadableError(f"is not valid YAML in column {mark.column + 1}: {words}", mark.line + 1)


# What PyYAML says, in words for those who do not write parsers. It quotes names, so all of its
# messages that do stand here; the others name a single character or a kind of token.
_SYNTAX: Final = (
    ("could not find expected ':'", "there is no ': ' behind the key"),
    ("character '\\t'", "a tab cannot indent; use spaces"),
    ("undefined alias", "there is no anchor (&name) for this alias (*name); quote a text with a *"),
    ("second occurrence", "an anchor (&name) of this name stands above already"),
    ("tag handle", "this tag is not known; quote a text that starts with a !"),
    ("mapping values are not allowed", "check the indentation, and the ': ' in the line above"),
    ("unknown escape character", "a backslash escapes in double quotes; use single quotes"),
    ("expected <block end>", "this does not fit to the lines above; check the indentation"),
    ("that cannot start any token", "a value cannot start with this character; quote it"),
    ("expected the node content", "a value cannot start with this character; quote it"),
    ("unexpected end of stream", "a quote is not closed"),
    ("expected ',' or", "a bracket or comma is missing; in brackets, quote ${NAME}"),
    ("but found another document", "there is more than one document (---)"),
    ("expected a single document", "there is more than one document (---)"),
)


class _Reader:
    """Makes data of nodes; each alias is followed, so the work is bounded here."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.document = Document()
        self._environ = environ
        self._count = 0
        self._ancestors: list[yaml.Node] = []

    def read(self, node: yaml.Node, path: Path) -> Data:
        """Make data of a node, and note its lines and faults."""
        self._enter(node)
        self.document.lines.setdefault(path, _line(node))
        data = self._convert(node, path)
        self._ancestors.pop()
        return data

    def _enter(self, node: yaml.Node) -> None:
        """Refuse aliases that lead back to themselves, or to more than memory holds."""
        self._count += 1
        if self._count > _MAX_VALUES:
            raise UnreadableError(f"holds more than {_MAX_VALUES} values, aliases followed", None)
        if any(node is ancestor for ancestor in self._ancestors):
            raise UnreadableError("holds an alias that refers to itself", _line(node))
        if len(self._ancestors) > _MAX_DEPTH:
            raise UnreadableError("is nested too deeply", _line(node))
        self._ancestors.append(node)

    def _convert(self, node: yaml.Node, path: Path) -> Data:
        """Make data of a node by its kind."""
        if node.tag not in _TAGS:
            self._unread(path, "has a YAML tag (!) that is not known here; quote the value")
            return None
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.read(item, (*path, index)) for index, item in enumerate(node.value)]
        return None if node.tag == _NULL else self._text(node.value, path)

    def _text(self, text: str, path: Path) -> str | None:
        """Replace variables, and refuse what no file, label or connection can carry."""
        try:
            text = replace_variables(text, self._environ)
        except ValueError as error:
            self._unread(path, str(error))
            return None
        if any(char == "\0" or "\ud800" <= char <= "\udfff" for char in text):
            self._unread(path, "holds a NUL or a character that is not Unicode")
            return None
        return text

    def _unread(self, path: Path, message: str) -> None:
        """Note a value that cannot be read, about which nothing else need be said."""
        self.document.faults.append(Fault(path, message))
        self.document.unread.add(path)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Data]:
        """Make a dictionary, with the keys that it merges in (`<<`)."""
        data: dict[str, Data] = {}
        for name, (key, value) in self._pairs(node, path).items():
            self.document.lines[(*path, name)] = _line(key)
            data[name] = self.read(value, (*path, name))
        return data

    def _pairs(self, node: yaml.MappingNode, path: Path) -> _Pairs:
        """Return a mapping's keys by name: its own win over those that it merges in."""
        pairs: _Pairs = {}
        for key, value in node.value:
            if key.tag != _MERGE:
                self._add(pairs, key, value, path)
        for key, value in node.value:
            if key.tag == _MERGE:
                self._add_merged(pairs, key, value, path)
        return pairs

    def _add(self, pairs: _Pairs, key: yaml.Node, value: yaml.Node, path: Path) -> None:
        """Add a key, unless it is none or stands there already."""
        if not isinstance(key, yaml.ScalarNode):
            fault = Fault(path, "has a key that is not a plain text", _line(key))
            self.document.faults.append(fault)
        elif key.value in pairs:
            first = _line(pairs[key.value][0])
            message = f"stands twice: in line {first} and in line {_line(key)}"
            self.document.faults.append(Fault((*path, key.value), message, _line(key)))
        else:
            pairs[key.value] = (key, value)

    def _add_merged(self, pairs: _Pairs, key: yaml.Node, value: yaml.Node, path: Path) -> None:
        """Add the keys of what stands behind `<<`: a mapping, or a list of them."""
        for source in value.value if isinstance(value, yaml.SequenceNode) else [value]:
            if not isinstance(source, yaml.MappingNode):
                message = "has a '<<' that does not name a group of keys"
                self.document.faults.append(Fault(path, message, _line(key)))
                continue
            self._enter(source)
            pairs.update(self._pairs(source, path) | pairs)
            self._ancestors.pop()


def _line(node: yaml.Node) -> int:
    """Return the line in which a node starts, from 1."""
    return int(node.start_mark.line) + 1
