"""Find relay.toml, read it and the environment, and report every problem at once.

What the environment overrides, and how: `environ`. Where each key stands: `sources`. What is said of a file
that is not TOML: `reading` and `slips`.
"""

import difflib
import errno
import os
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import SecretStr, ValidationError
from pydantic_core import ErrorDetails

from relay.config.environ import override, read_secrets
from relay.config.fields import TRUE_WORDS
from relay.config.include import add_files, add_learned
from relay.config.model import EMBEDDED, Config
from relay.config.positions import Path as KeyPath
from relay.config.reading import read
from relay.config.sources import Problem, Sources, hide_password, is_secret, name_key, tell_slip
from relay.mail import KINDS, Policy

SYSTEM_PATH = Path("/etc/relay/relay.toml")
# The names of pydantic's complaints, in words for whoever wrote the file.
_EXPECTED = {
    "missing": "is missing",
    "int_parsing": "expected a whole number",
    "int_type": "expected a whole number",
    "int_from_float": "expected a whole number",
    "bool_parsing": "expected true or false",
    "bool_type": "expected true or false",
    "int_parsing_size": "expected a whole number",
    "greater_than_equal": "expected {ge} or more",
    "less_than_equal": "expected {le} or less",
    "string_type": "expected a text in quotes",
    "string_too_short": "expected a text that is not empty",
    "string_too_long": "expected at most {max_length} characters",
    "path_type": "expected a text in quotes",
    "tuple_type": 'expected a list: ["…", "…"]',
    "model_type": "expected a table",
    "dict_type": "expected a table",
    "string_pattern_mismatch": "expected letters, digits, dots, hyphens and underscores",
}
# What people write for a choice that is called otherwise here.
_MEANT = {
    "ssl": "implicit",
    "smtps": "implicit",
    "ssl/tls": "implicit",
    "tls": "starttls",
    "jp": "ja",
    "kr": "ko",
    "admin": "operator",
    "verbose": "debug",
}


class ConfigError(Exception):
    """The configuration cannot be used; one text for each problem.

    A problem may have the line that it is about below it, with a mark. The commands print them and exit with
    78 (EX_CONFIG of sysexits).
    """

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def find(path: str | os.PathLike[str] | None, environ: Mapping[str, str] = os.environ) -> Path:
    """The configuration's path: as given, else $RELAY_CONFIG, else /etc/relay/relay.toml."""
    return Path(path or environ.get("RELAY_CONFIG") or SYSTEM_PATH)


def load(
    path: str | os.PathLike[str] | None = None,
    environ: Mapping[str, str] = os.environ,
    *,
    enter_state: Callable[[Path], None] | None = None,
    learned: bool = True,
) -> Config:
    """Read the configuration.

    Args:
        path: of relay.toml; without one it is looked for.
        environ: the environment, which overrides the file.
        enter_state: called with `state_dir` when everything outside of it has been read, secrets included,
            and before anything in it is.
        learned: whether to read the adopted devices, which are kept in `state_dir` beside an embedded spool.

    Raises:
        ConfigError: it cannot be read, or something in it is wrong.
    """
    where = find(path, environ)
    sources = Sources()
    tree, problems = _read(where, sources)
    problems += add_files(tree, where, sources)
    problems += override(tree, environ, sources)
    wrong = read_secrets(tree, environ, where.parent)
    state_dir = tree.get("state_dir") or Config.model_fields["state_dir"].default
    if learned and isinstance(state_dir, str | Path):
        if enter_state is not None:
            enter_state(Path(state_dir))
        if _is_embedded(tree):  # else they are in the database, for all nodes
            problems += add_learned(tree, Path(state_dir), sources)
    return _build(tree, problems, wrong, sources)


def _is_embedded(tree: dict[str, Any]) -> bool:
    spool = tree.get("spool")
    return not isinstance(spool, dict) or spool.get("url", EMBEDDED) == EMBEDDED


def build(tree: dict[str, Any], environ: Mapping[str, str] = os.environ) -> Config:
    """Make the configuration of a file's tree and the environment.

    Args:
        tree: what the file holds.
        environ: the environment, which overrides it.

    Raises:
        ConfigError: something is wrong; all of it is in `problems`.
    """
    sources = Sources()
    problems = override(tree, environ, sources)
    return _build(tree, problems, read_secrets(tree, environ), sources)


def _find_remedy(error: OSError) -> str:
    if error.errno == errno.ENOENT:
        return "`relay setup` writes one, or name another with --config"
    return "name another with --config"


def _read(path: Path, sources: Sources) -> tuple[dict[str, Any], list[str]]:
    """What the main file holds, and what in it is not TOML.

    Raises:
        ConfigError: nothing can be said of its keys.
    """
    try:
        document = read(path)
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read ({error.strerror}); {_find_remedy(error)}"]) from None
    problems = [tell_slip(path, slip) for slip in document.slips]
    if document.tree is None:
        raise ConfigError(problems)
    sources.add_file(path, document.text, {})
    return document.tree, problems


def _build(
    tree: dict[str, Any], problems: Sequence[str], wrong: Sequence[Problem], sources: Sources
) -> Config:
    """The configuration; `wrong` is what is known to be wrong with it already."""
    found = [*wrong, *_between(tree), *_losses(tree)]
    try:
        config = Config.model_validate(tree)
    except ValidationError as error:
        found += [_plain(one) for one in _telling(error.errors())]
    if problems or found:
        raise ConfigError([*problems, *(sources.tell(one, tree) for one in found)])
    return _with_defaults(config)


def _between(tree: dict[str, Any]) -> list[Problem]:
    """What is wrong between tables, each of which may be right; looks at the tree as it was written."""
    accounts, users = _rows(tree, "account"), _rows(tree, "user")
    listeners = [
        (i, row) for i, row in _rows(tree, "listener") if not str(row.get("address", "")).endswith(":0")
    ]
    problems = _repeated("account", "name", accounts) + _repeated("account", "address", accounts)
    problems += _repeated("user", "name", users) + _repeated("listener", "address", listeners)
    problems += _repeated("console_user", "name", _rows(tree, "console_user"))
    defaults = [i for i, row in accounts if str(row.get("default")).lower() in TRUE_WORDS]
    problems += [Problem(("account", i, "default"), "only one can be the default") for i in defaults[1:]]
    names = {row.get("name") for _, row in accounts}
    problems += [
        Problem((table, i, "account"), f"expected the name of an account, found {row['account']!r}")
        for table in ("listener", "user", "device")
        for i, row in _rows(tree, table)
        if row.get("account") and row["account"] not in names
    ]
    return problems


_Rows = list[tuple[int, dict[str, Any]]]  # of an array of tables, each with its number


def _rows(tree: dict[str, Any], table: str) -> _Rows:
    rows = tree.get(table)
    return [(i, row) for i, row in enumerate(rows) if isinstance(row, dict)] if isinstance(rows, list) else []


def _repeated(table: str, key: str, rows: _Rows) -> list[Problem]:
    values = [str(row.get(key, "")).lower() for _, row in rows]
    return [
        Problem((table, i, key), f"{value!r} is there twice")
        for (i, _), before, value in zip(rows, range(len(rows)), values, strict=True)
        if value and value in values[:before]
    ]


def _losses(tree: dict[str, Any]) -> list[Problem]:
    """What is wrong with [losses] beside its types: each loss has its own policies."""
    table = tree.get("losses")
    problems = []
    for name, policy in table.items() if isinstance(table, dict) else ():
        kind = KINDS.get(name.replace("_", "-"))
        if kind is None:
            close = difflib.get_close_matches(name, [known.replace("-", "_") for known in KINDS], n=1)
            text = "no such loss" + (f"; did you mean {close[0]}?" if close else "")
            problems.append(Problem(("losses", name), text, at_key=True))
        elif policy in list(Policy) and policy not in kind.policies:
            wish = ", ".join(sorted(kind.policies))
            problems.append(Problem(("losses", name), f"expected one of {wish}, found {str(policy)!r}"))
    return problems


def _telling(errors: list[ErrorDetails]) -> list[ErrorDetails]:
    """Without what an alternative of "may be empty" says, where the other one says what was expected."""
    said = {_path(error["loc"]) for error in errors if error["type"] != "literal_error"}
    return [one for one in errors if one["type"] != "literal_error" or _path(one["loc"]) not in said]


def _plain(error: ErrorDetails) -> Problem:
    where = _path(error["loc"])
    kind, found = error["type"], error["input"]
    match kind:
        case "missing":
            return Problem(where, "is missing")
        case "extra_forbidden":
            return Problem(where, f"no such key{_nearest(where)}", at_key=True)
        case "across_keys":  # which says itself what it found, and belongs to the table
            return Problem(where[:-1], error["msg"])
    name = name_key(where, {})
    if kind == "tuple_type" and isinstance(found, dict):
        return Problem(where, f"expected [[{name}]], with two brackets, found [{name}]")
    if kind == "model_type" and isinstance(found, list):
        return Problem(where, f"expected [{name}], with one bracket, found [[{name}]]")
    expected = error["msg"].replace("Input should be", "expected")
    if kind in _EXPECTED:
        expected = _EXPECTED[kind].format(**error.get("ctx", {}))
    if kind == "value_error":
        expected = str(error["ctx"]["error"])
    guess = _nearest_choice(error["ctx"]["expected"], found) if kind in ("literal_error", "enum") else ""
    return Problem(where, f"{expected}, found {_shown(where, found)}{guess}")


def _nearest_choice(expected: str, found: object) -> str:
    """What was probably meant, of those that pydantic names in quotes, as the end of a sentence."""
    choices, name = re.findall("'([^']+)'", expected), str(found).strip().lower()
    close = [_MEANT[name]] if name in _MEANT else difflib.get_close_matches(name, choices, n=1)
    return f"; did you mean '{close[0]}'?" if close and close[0] in choices else ""


def _path(loc: tuple[int | str, ...]) -> KeyPath:
    # The inner names of unions say nothing to people.
    return tuple(step for step in loc if isinstance(step, int) or "[" not in step)


def _shown(path: KeyPath, value: object) -> str:
    if isinstance(value, SecretStr) or is_secret(path):
        return "(a secret, not shown)"
    # A table may hold secrets, wherever it stands.
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list) and any(isinstance(one, dict) for one in value):
        return "a list of tables"
    return hide_password(repr(value))[:200]


def _nearest(path: KeyPath) -> str:
    """What was probably meant by a key that there is not, as the end of a sentence."""
    model: Any = Config
    for step in path[:-1]:
        if isinstance(step, str):
            model = _model_of(model, step)
    name = str(path[-1])
    close = difflib.get_close_matches(name.lower(), model.model_fields, n=1)
    if close:
        return f"; did you mean {close[0]}?"
    if name in Config.model_fields:
        return "; it stands at the top of the file, before the first table"
    tables = [
        table
        for table in Config.model_fields
        if name in getattr(_model_of(Config, table), "model_fields", {})
    ]
    return f"; it is a key of {' or '.join(_in_brackets(table) for table in tables)}" if tables else ""


def _model_of(model: Any, key: str) -> Any:
    """The model of a table, or the type of another key."""
    annotation = model.model_fields[key].annotation
    return next((a for a in get_args(annotation) if isinstance(a, type)), annotation)


def _in_brackets(table: str) -> str:
    several = isinstance(Config.model_fields[table].default, tuple)
    return f"[[{table}]]" if several else f"[{table}]"


def _with_defaults(config: Config) -> Config:
    return (
        config if config.hostname else config.model_copy(update={"hostname": socket.getfqdn() or "localhost"})
    )
