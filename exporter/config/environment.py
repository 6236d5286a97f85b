"""`${VAR}` in a text, replaced from the environment.

This happens in the values that YAML yielded, not in its text, so that a value cannot add keys.
"""

import re
from collections.abc import Mapping
from typing import Final

from exporter.config.values import Replaced

# In this order: an escaped reference, a reference, and what only looks like one.
_REFERENCE: Final = re.compile(r"\$\$\{|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)\}|\$\{")
_ESCAPED: Final = "$${"


def replace_variables(text: str, environ: Mapping[str, str]) -> str:
    """Replace each `${VAR}`; `$${VAR}` becomes a literal `${VAR}`.

    Raises ValueError, in words for the user, for the first variable that is not set.

    >>> replace_variables("postgresql://${HOST}/$${db}", {"HOST": "db.internal"})
    'postgresql://db.internal/${db}'
    """

    def value(reference: re.Match[str]) -> str:
        return _value_of(reference, environ)

    replaced = _REFERENCE.sub(value, text)
    return text if replaced == text else Replaced(replaced, text)


def _value_of(reference: re.Match[str], environ: Mapping[str, str]) -> str:
    """Look up one reference."""
    if reference.group() == _ESCAPED:
        return "${"
    name = reference["name"]
    if name is None:
        raise ValueError(
            "has a '${' without a variable's name and a '}' behind it; "
            "write it like ${NAME}, or $${ for a literal ${"
        )
    if name not in environ:
        raise ValueError(f"the environment variable {name} is not set")
    return environ[name]
