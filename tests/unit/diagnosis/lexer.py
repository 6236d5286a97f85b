"""PostgreSQL's lexer written once more, plainly: which characters of a text are in a literal.

It goes through a text one character at a time, as src/backend/parser/scan.l says, and shares
nothing with `exporter.diagnosis.texts`, which is compared with it.
"""

import re
from typing import Final

_LINE_ENDS: Final = "\n\r"
_CONTINUED: Final = re.compile(
    r"(?:[ \t\f\v]|--[^\n\r]*)*[\n\r](?:[ \t\f\v\n\r]|--[^\n\r]*[\n\r])*'"
)
_DOLLAR: Final = re.compile(r"\$(?:[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_\u0080-\U0010ffff]*)?\$")


def visible(sql: str, *, standard_strings: bool) -> str:
    """Give what stands outside of literals and comments, a space for each of these."""
    return "".join(_Lexer(sql, standard_strings=standard_strings).parts())


class _Lexer:
    def __init__(self, sql: str, *, standard_strings: bool) -> None:
        self.sql = sql
        self.standard = standard_strings
        self.at = 0

    def parts(self) -> list[str]:
        found = []
        while self.at < len(self.sql):
            start = self.at
            hidden = self.skip()
            found.append(" " if hidden else self.sql[start : self.at])
        return found

    def here(self, length: int = 1) -> str:
        return self.sql[self.at : self.at + length]

    def skip(self) -> bool:
        """Go behind the next token, and tell whether it is a literal or a comment."""
        if self.comment() or self.string() or self.dollar_string():
            return True
        if self.here() == '"' or self.here(3).lower() == 'u&"':
            self.at = self.sql.index('"', self.at) + 1
            self.quoted('"', escapes=False)
        elif is_letter(self.here()):
            while is_letter(self.here()) or self.here() in tuple("0123456789$"):
                self.at += 1
        else:
            self.at += 1
        return False

    def comment(self) -> bool:
        begin = self.here(2)
        if begin == "--":
            while self.here() and self.here() not in _LINE_ENDS:
                self.at += 1
        elif begin == "/*":
            self.block_comment()
        return begin in {"--", "/*"}

    def block_comment(self) -> None:
        depth = 0
        while self.here():
            if self.here(2) in {"/*", "*/"}:
                depth += 1 if self.here(2) == "/*" else -1
                self.at += 2
                if depth == 0:
                    return
            else:
                self.at += 1

    def dollar_string(self) -> bool:
        delimiter = _DOLLAR.match(self.sql, self.at)
        if delimiter is None:
            return False
        end = self.sql.find(delimiter[0], delimiter.end())
        self.at = len(self.sql) if end < 0 else end + len(delimiter[0])
        return True

    def string(self) -> bool:
        """Go behind a string with its prefix and its continuations, if there is one."""
        prefix = re.compile(r"(?:[eEbBxXnN]|[uU]&)?'").match(self.sql, self.at)
        if prefix is None:
            return False
        kind = prefix[0][0].lower()
        escapes = kind == "e" or (kind in "'n" and not self.standard)
        self.at = prefix.end()
        self.quoted("'", escapes=escapes, doubled=kind not in "bx")
        while more := _CONTINUED.match(self.sql, self.at):
            self.at = more.end()
            self.quoted("'", escapes=escapes, doubled=kind not in "bx")
        return True

    def quoted(self, quote: str, *, escapes: bool, doubled: bool = True) -> None:
        """Go behind the closing quote."""
        while self.here():
            if (escapes and self.here() == "\\") or (doubled and self.here(2) == quote * 2):
                self.at += 2
            elif self.here() == quote:
                self.at += 1
                return
            else:
                self.at += 1


def is_letter(char: str) -> bool:
    """Tell whether a name can begin so: to PostgreSQL, everything beyond ASCII is a letter."""
    return bool(char) and (not char.isascii() or char.isalpha() or char == "_")
