"""Where each key of the configuration came from, and a problem with one as a sentence for people.

A key is named by its path in the tree: `("listener", 0, "address")`. It stands in a file, in the environment,
or nowhere.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, SecretStr

from relay.config.model import Config
from relay.config.positions import Path as KeyPath
from relay.config.positions import Place, locate
from relay.config.reading import Slip, excerpt

_USERINFO = re.compile(r"//[^/@\s]*@")
_PARAMETER = re.compile(r"([?&]password=)[^&\s'\"]*")


@dataclass(frozen=True, slots=True)
class Problem:
    """Something is wrong with a key, or with a table."""

    path: KeyPath
    text: str
    at_key: bool = False  # the key itself is wrong, and not its value


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    text: str
    places: Mapping[KeyPath, Place]
    before: Mapping[str, int]  # rows of each array of tables in the files before this one

    def find(self, path: KeyPath, *, at_key: bool) -> int | None:
        """The offset of a key or its value; None: it is not in this file."""
        shifted = self._shift(path)
        # An array of tables begins with its first.
        place = self.places.get(shifted) or self.places.get((*shifted, 0))
        return None if place is None else place.key if at_key else place.value

    def _shift(self, path: KeyPath) -> KeyPath:
        match path:
            case (str() as table, int() as row, *rest):
                return (table, row - self.before.get(table, 0), *rest)
        return path


@dataclass
class Sources:
    """The files and variables that a configuration is made of."""

    files: list[_File] = field(default_factory=list)
    variables: dict[KeyPath, str] = field(default_factory=dict)

    def add_file(self, path: Path, text: str, tree: Mapping[str, Any]) -> None:
        """Note where the keys of a file stand.

        Args:
            path: of the file.
            text: of the file; it is TOML.
            tree: what there was before this file was joined to it.
        """
        before = {table: len(rows) for table, rows in tree.items() if isinstance(rows, list)}
        self.files.append(_File(path, text, locate(text), before))

    def add_variable(self, path: KeyPath, name: str) -> None:
        """Note that an environment variable sets this key."""
        self.variables[path] = name

    def tell(self, problem: Problem, tree: Mapping[str, Any]) -> str:
        """The problem with its place, the key and the line, in one to three lines.

        Args:
            problem: what is wrong.
            tree: the whole configuration as it was written.
        """
        said = f"{name_key(problem.path, tree, self._find_line(problem.path[:2]))}: {problem.text}"
        for length in range(len(problem.path), 0, -1):
            path = problem.path[:length]
            whole = length == len(problem.path)
            if path in self.variables:
                return f"${self.variables[path]}: {said}"
            for file in self.files:
                offset = file.find(path, at_key=problem.at_key or not whole)
                if offset is not None:
                    return _tell_at(file, offset, said, secret=is_secret(problem.path))
        return said

    def _find_line(self, table: KeyPath) -> int:
        """The line where a table of an array begins; 0: in no file."""
        for file in self.files:
            offset = file.find(table, at_key=True)
            if offset is not None:
                return file.text.count("\n", 0, offset) + 1
        return 0


def name_key(path: KeyPath, tree: Mapping[str, Any], line: int = 0) -> str:
    """A key in words: `works.scope`, or `[[listener]] no. 1 (line 17), tls`.

    Args:
        path: of the key.
        tree: the whole configuration, for the names of its tables.
        line: where the table begins; 0: not known.
    """
    match path:
        case (str() as table, int() as row, *rest):
            begin = f"[[{table}]] no. {row + 1}"
            known = [_find_name(tree, table, row), f"line {line}" if line else ""]
            begin += f" ({', '.join(filter(None, known))})" if any(known) else ""
            return ", ".join(filter(None, (begin, _join_steps(rest))))
    return _join_steps(path)


def _find_name(tree: Mapping[str, Any], table: str, row: int) -> str:
    rows = tree.get(table)
    one = rows[row] if isinstance(rows, list) and row < len(rows) else None
    name = one.get("name") if isinstance(one, dict) else None
    return name[:64] if isinstance(name, str) else ""


def _join_steps(steps: KeyPath | list[str | int]) -> str:
    text = ""
    for step in steps:
        if isinstance(step, int):
            text += f" no. {step + 1}"
        else:
            text += f".{step}" if text else step
    return text


def tell_slip(path: Path, slip: Slip) -> str:
    """Something that is not TOML, with its place and the line."""
    if not slip.line:
        return f"{path}: {slip.text}"
    hidden = slip.key in _SECRETS or _hides(slip.source)
    said = f"{slip.text}: {slip.write}" if slip.write and not hidden else slip.text
    return _tell(path, slip.line, slip.column, slip.source, said, shown=not hidden)


def _tell_at(file: _File, offset: int, said: str, *, secret: bool) -> str:
    line = file.text.count("\n", 0, offset) + 1
    begin = file.text.rfind("\n", 0, offset) + 1
    source = file.text[begin:].split("\n", 1)[0]
    return _tell(file.path, line, offset - begin + 1, source, said, shown=not (secret or _hides(source)))


def _tell(path: Path, line: int, column: int, source: str, said: str, *, shown: bool) -> str:
    where = f"{path}:{line}:{column}: {said}"
    return f"{where}\n{excerpt(source, column)}" if shown and source.strip() else where


def is_secret(path: KeyPath) -> bool:
    """Whether the value of this key, or one within it, is for nobody's eyes."""
    return any(step in _SECRETS for step in path if step not in _SHARED) or path[:1] == ("alert",)


def hide_password(text: str) -> str:
    """The text without passwords that stand in URLs."""
    return _PARAMETER.sub(r"\1(not shown)", _USERINFO.sub("//(not shown)@", text))


def _hides(source: str) -> bool:
    """Whether a line may have a secret in it: its key, wherever it stands, or a URL with a password."""
    words = re.findall(r"\w+", source)
    return any(word in _SECRETS for word in words) or bool(
        _USERINFO.search(source) or _PARAMETER.search(source)
    )


def _find_secrets(model: type[BaseModel]) -> set[str]:
    found = set()
    for name, one in model.model_fields.items():
        kinds = (one.annotation, *get_args(one.annotation))
        if SecretStr in kinds or tuple[SecretStr, ...] in kinds:
            found.add(name)
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                found |= _find_secrets(kind)
    return found


_SECRETS = frozenset({"password_hash", *_find_secrets(Config)})
_SHARED = frozenset({"url", "urls"})  # names of keys elsewhere, too, that hold no secret there
