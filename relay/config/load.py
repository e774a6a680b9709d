"""Find relay.toml, read it and the environment, and report every problem at once.

The environment overrides the file: RELAY_WORKS__CLIENT_ID is `client_id` of `[works]`,
RELAY_ACCOUNT__0__USER_ID the first account's `user_id`, and NAME_FILE names a file that holds the
value. A variable without a double underscore that is no top-level key is left alone: Kubernetes
sets RELAY_PORT and the like for a service of that name.
"""

import difflib
import os
import re
import socket
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_core import ErrorDetails

from relay.config.fields import TRUE_WORDS
from relay.config.include import add_files, add_learned
from relay.config.model import Config
from relay.mail import KINDS, Policy

SYSTEM_PATH = Path("/etc/relay/relay.toml")
_PREFIX = "RELAY_"
_SECRET, _SECRET_FILE = "RELAY_WORKS__CLIENT_SECRET", "RELAY_WORKS__CLIENT_SECRET_FILE"
_USERINFO = re.compile(r"//[^/@\s]*@")
_SECRET_KEYS = frozenset({"client_secret", "password_hash"})
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
    "tuple_type": "expected a list",
    "model_type": "expected a table",
    "dict_type": "expected a table",
    "string_pattern_mismatch": "expected letters, digits, dots, hyphens and underscores",
}


_CREDENTIAL = "; under systemd leave the key out, for relay.service hands the secret over"


class ConfigError(Exception):
    """The configuration cannot be used; one line for each problem.

    The commands print the lines and exit with 78 (EX_CONFIG of sysexits).
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
        learned: whether to read the adopted devices, which are kept in `state_dir`.

    Raises:
        ConfigError: it cannot be read, or something in it is wrong.
    """
    where = find(path, environ)
    try:
        tree = tomllib.loads(where.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            [f"{where}: cannot be read ({error.strerror}); name another with --config"]
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError([f"{where}: is not TOML: {error}"]) from None
    problems = add_files(tree, where)
    problems += _add_environment(tree, environ)
    state_dir = tree.get("state_dir") or Config.model_fields["state_dir"].default
    if learned and isinstance(state_dir, str | Path):
        if enter_state is not None:
            enter_state(Path(state_dir))
        problems += add_learned(tree, Path(state_dir))
    return _build(tree, problems)


def build(tree: dict[str, Any], environ: Mapping[str, str] = os.environ) -> Config:
    """Make the configuration of a file's tree and the environment.

    Args:
        tree: what the file holds.
        environ: the environment, which overrides it.

    Raises:
        ConfigError: something is wrong; all of it is in `problems`.
    """
    return _build(tree, _add_environment(tree, environ))


def _add_environment(tree: dict[str, Any], environ: Mapping[str, str]) -> list[str]:
    problems: list[str] = []
    _override(tree, environ, problems)
    return problems + _read_secret(tree, environ)


def _build(tree: dict[str, Any], problems: Sequence[str]) -> Config:
    problems = [*problems, *_between(tree), *_losses(tree)]
    try:
        config = Config.model_validate(tree)
    except ValidationError as error:
        problems += [line for e in _telling(error.errors()) for line in _plain(e)]
    if problems:
        raise ConfigError(problems)
    return _with_defaults(config)


def _override(tree: dict[str, Any], environ: Mapping[str, str], problems: list[str]) -> None:
    for name, value in sorted(environ.items()):
        if not name.startswith(_PREFIX) or name == "RELAY_CONFIG":
            continue
        keys = name.removeprefix(_PREFIX).lower().split("__")
        if len(keys) == 1 and keys[0].removesuffix("_file") not in Config.model_fields:
            continue
        if keys[-1].endswith("_file") and not _declared(keys):
            keys[-1] = keys[-1].removesuffix("_file")
            try:
                value = Path(value).read_text(encoding="utf-8").strip()  # noqa: PLW2901
            except (OSError, UnicodeDecodeError) as error:
                problems.append(f"{name}: {value}: cannot be read ({_why(error)})")
                continue
        if not _set(tree, keys, value):
            problems.append(f"{name}: no such key, or an index out of order")


def _declared(keys: list[str]) -> bool:
    model: Any = Config
    for key in keys:
        if key.isdecimal():
            continue
        if not isinstance(model, type) or not issubclass(model, BaseModel) or key not in model.model_fields:
            return False
        annotation = model.model_fields[key].annotation
        model = next((a for a in get_args(annotation) if isinstance(a, type)), annotation)
    return True


def _set(tree: dict[str, Any], keys: list[str], value: str) -> bool:
    node: Any = tree
    for key, following in zip(keys, [*keys[1:], ""], strict=True):
        last = not following
        if isinstance(node, list):
            if not key.isdecimal() or int(key) > len(node):
                return False
            if int(key) == len(node):
                node.append({})
            if last:
                node[int(key)] = value
            node = node[int(key)]
        elif isinstance(node, dict):
            if last:
                node[key] = value
            else:
                node = node.setdefault(key, [] if following.isdecimal() else {})
        else:
            return False
    return True


def _between(tree: dict[str, Any]) -> list[str]:
    """What is wrong between tables, each of which may be right; looks at the tree as it was written."""
    accounts, users = _rows(tree, "account"), _rows(tree, "user")
    listeners = [row for row in _rows(tree, "listener") if not str(row.get("address", "")).endswith(":0")]
    problems = _repeated("account", "name", accounts) + _repeated("account", "address", accounts)
    problems += _repeated("user", "name", users) + _repeated("listener", "address", listeners)
    if sum(str(row.get("default")).lower() in TRUE_WORDS for row in accounts) > 1:
        problems.append("account: only one can be the default")
    names = {row.get("name") for row in accounts}
    problems += [
        f"{table}[{i}].account: expected the name of an account, found {row['account']!r}"
        for table in ("listener", "user", "device")
        for i, row in enumerate(_rows(tree, table))
        if row.get("account") and row["account"] not in names
    ]
    return problems


def _rows(tree: dict[str, Any], table: str) -> list[dict[str, Any]]:
    rows = tree.get(table)
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _repeated(table: str, key: str, rows: list[dict[str, Any]]) -> list[str]:
    values = [str(row.get(key, "")).lower() for row in rows]
    return [
        f"{table}[{i}].{key}: {value!r} is there twice"
        for i, value in enumerate(values)
        if value and value in values[:i]
    ]


def _losses(tree: dict[str, Any]) -> list[str]:
    """What is wrong with [losses] beside its types: each loss has its own policies."""
    table = tree.get("losses")
    problems = []
    for name, policy in table.items() if isinstance(table, dict) else ():
        kind = KINDS.get(name.replace("_", "-"))
        if kind is None:
            close = difflib.get_close_matches(name, [known.replace("-", "_") for known in KINDS], n=1)
            problems.append(f"losses.{name}: no such loss" + (f"; did you mean {close[0]}?" if close else ""))
        elif policy in list(Policy) and policy not in kind.policies:
            wish = ", ".join(sorted(kind.policies))
            problems.append(f"losses.{name}: expected one of {wish}, found {str(policy)!r}")
    return problems


def _telling(errors: list[ErrorDetails]) -> list[ErrorDetails]:
    """Without what an alternative of "may be empty" says, where the other one says what was expected."""
    said = {_path(error["loc"]) for error in errors if error["type"] != "literal_error"}
    return [one for one in errors if one["type"] != "literal_error" or _path(one["loc"]) not in said]


def _plain(error: ErrorDetails) -> list[str]:
    where = _path(error["loc"])
    kind, found = error["type"], error["input"]
    if kind in ("extra_forbidden", "missing"):
        said = "is missing" if kind == "missing" else f"no such key{_nearest(error['loc'])}"
        return [f"{where}: {said}"]
    if kind == "across_keys":  # which says itself what it found, and belongs to the table
        return [f"{_path(error['loc'][:-1])}: {error['msg']}"]
    if kind == "value_error":
        text = str(error["ctx"]["error"])
        return [f"{where}: {text}, found {_shown(error['loc'], found)}"]
    expected = error["msg"].replace("Input should be", "expected")
    if kind in _EXPECTED:
        expected = _EXPECTED[kind].format(**error.get("ctx", {}))
    if kind == "tuple_type" and isinstance(found, dict):
        return [f"{where}: expected [[{where}]], with two brackets, found [{where}]"]
    if kind == "model_type" and isinstance(found, list):
        return [f"{where}: expected [{where}], with one bracket, found [[{where}]]"]
    return [f"{where}: {expected}, found {_shown(error['loc'], found)}"]


def _path(loc: tuple[int | str, ...]) -> str:
    text = ""
    for step in loc:
        if isinstance(step, int):
            text += f"[{step}]"
        elif "[" not in step:  # the inner names of unions say nothing to people
            text += f".{step}" if text else step
    return text


def _shown(loc: tuple[int | str, ...], value: object) -> str:
    if isinstance(value, SecretStr) or any(step in _SECRET_KEYS for step in loc):
        return "(a secret, not shown)"
    # A table may hold secrets, wherever it stands.
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list) and any(isinstance(one, dict) for one in value):
        return "a list of tables"
    # Neither is a password in a URL for other eyes.
    return _USERINFO.sub("//(not shown)@", repr(value))[:200]


def _nearest(loc: tuple[int | str, ...]) -> str:
    model: Any = Config
    for step in loc[:-1]:
        if isinstance(step, str):
            annotation = model.model_fields[step].annotation
            model = next((a for a in get_args(annotation) if isinstance(a, type)), annotation)
    close = difflib.get_close_matches(str(loc[-1]), model.model_fields, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _read_secret(tree: dict[str, Any], environ: Mapping[str, str]) -> list[str]:
    """Put the client secret from its file into the tree, if it is to be had from one; gives the problems."""
    works = tree.setdefault("works", {})
    # The environment goes before relay.toml in both of its forms.
    file_goes_before = environ.get(_SECRET_FILE) and not environ.get(_SECRET)
    if not isinstance(works, dict) or (works.get("client_secret") and not file_goes_before):
        return []
    given = works.get("client_secret_file", "")
    path = Path(given) if given and isinstance(given, str) else _credential(environ)
    if path is None:
        return []
    try:
        secret = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        remedy = "" if path.parent == Path(environ.get("CREDENTIALS_DIRECTORY", "")) else _CREDENTIAL
        return [f"works.client_secret_file: {path}: cannot be read ({_why(error)}){remedy}"]
    if not secret:
        return [f"works.client_secret_file: {path}: is empty"]
    works["client_secret"] = SecretStr(secret)
    return []


def _why(error: OSError | UnicodeDecodeError) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else "not UTF-8"


def _credential(environ: Mapping[str, str]) -> Path | None:
    # systemd's LoadCredential= puts files there (systemd.exec(5)).
    folder = environ.get("CREDENTIALS_DIRECTORY")
    path = Path(folder, "client_secret") if folder else None
    return path if path is not None and path.exists() else None


def _with_defaults(config: Config) -> Config:
    return (
        config if config.hostname else config.model_copy(update={"hostname": socket.getfqdn() or "localhost"})
    )
