"""The environment over relay.toml, and the secrets from wherever they are kept.

RELAY_WORKS__CLIENT_ID is `client_id` of `[works]`, RELAY_ACCOUNT__0__USER_ID the first account's `user_id`,
and NAME_FILE names a file that holds the value. A variable without a double underscore that is no top-level
key is left alone: Kubernetes sets RELAY_PORT and the like for a service of that name.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, SecretStr

from relay.config.model import Config
from relay.config.positions import Path as KeyPath
from relay.config.reading import decode
from relay.config.sources import Problem, Sources

_PREFIX = "RELAY_"
# Keys whose value may come from a file, or as a credential of systemd: table, key, the credential's name.
_FROM_FILES = (
    ("works", "client_secret", "client_secret"),
    ("works", "proxy", "proxy"),
    ("spool", "password", "database_password"),
    ("spool", "key", "grant_key"),
    ("alert", "url", "alert_url"),
    ("alert", "urls", "alert_urls"),
)
_LISTS = ("urls",)  # of these a file has one a line
_CREDENTIAL = "; under systemd leave the key out, for relay.service hands the secret over"


def override(tree: dict[str, Any], environ: Mapping[str, str], sources: Sources) -> list[str]:
    """Put what the environment sets into the tree; gives what is wrong with the variables."""
    problems = []
    for name, value in sorted(environ.items()):
        if not name.startswith(_PREFIX) or name == "RELAY_CONFIG":
            continue
        keys = name.removeprefix(_PREFIX).lower().split("__")
        if len(keys) == 1 and keys[0].removesuffix("_file") not in Config.model_fields:
            continue
        if keys[-1].endswith("_file") and not _declared(keys):
            keys[-1] = keys[-1].removesuffix("_file")
            try:
                value = decode(Path(value).read_bytes()).strip()  # noqa: PLW2901
            except (OSError, UnicodeDecodeError) as error:
                problems.append(f"${name}: {value}: cannot be read ({_why(error)})")
                continue
        if _set(tree, keys, value):
            sources.add_variable(tuple(int(key) if key.isdecimal() else key for key in keys), name)
        else:
            problems.append(f"${name}: no such key, or an index out of order")
    return problems


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


def read_secrets(
    tree: dict[str, Any], environ: Mapping[str, str], beside: Path | None = None
) -> list[Problem]:
    """Put the secrets from their files into the tree, where they are to be had from one.

    Args:
        tree: the configuration as it was written.
        environ: it goes before relay.toml in both of its forms.
        beside: the folder of relay.toml, where the secrets lie that systemd hands to the service; looked at
            when nothing else names one, by a command that the administrator runs.

    Returns:
        What is wrong with them.
    """
    return [
        problem
        for table, key, credential in _FROM_FILES
        for problem in _read_secret(
            tree, (table, key), _find_credential(credential, environ, beside), environ
        )
    ]


def _read_secret(
    tree: dict[str, Any], place: tuple[str, str], credential: Path | None, environ: Mapping[str, str]
) -> list[Problem]:
    table, key = place
    values = tree.setdefault(table, {})
    variable = f"{_PREFIX}{table.upper()}__{key.upper()}"
    file_goes_before = environ.get(f"{variable}_FILE") and not environ.get(variable)
    if not isinstance(values, dict) or (values.get(key) and not file_goes_before):
        return []
    given = values.get(f"{key}_file", "")
    path = Path(given) if given and isinstance(given, str) else credential
    if path is None:
        return []
    where: KeyPath = (table, f"{key}_file")
    handed_over = environ.get("CREDENTIALS_DIRECTORY", "")
    try:
        secret = decode(path.read_bytes()).strip()
    except (OSError, UnicodeDecodeError) as error:
        remedy = "" if path.parent == Path(handed_over) else _CREDENTIAL
        problem = f"cannot be read ({_why(error)}){remedy}"
        # Beside relay.toml it is root's: whoever asks may not see it, and may not need it.
        return [Problem(where, f"{path}: {problem}")] if given or handed_over else []
    lines = [line for line in secret.splitlines() if line.strip()]
    values[key] = [*map(SecretStr, lines)] if key in _LISTS else SecretStr(secret)
    wrong = "" if lines else "is empty"
    if len(lines) > 1 and key not in _LISTS:
        wrong = "holds several lines; expected the secret alone"
    elif unseen := next((one for one in "".join(lines) if not one.isprintable()), ""):
        wrong = (
            f"holds a character that cannot be seen (U+{ord(unseen):04X}): write the secret anew, in UTF-8"
        )
    return [Problem(where, f"{path}: {wrong}")] if wrong else []


def _why(error: OSError | UnicodeDecodeError) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else "not UTF-8"


def _find_credential(name: str, environ: Mapping[str, str], beside: Path | None) -> Path | None:
    # systemd's LoadCredential= puts files there (systemd.exec(5)).
    folder = environ.get("CREDENTIALS_DIRECTORY") or beside
    path = Path(folder, name) if folder else None
    try:
        return path if path is not None and path.exists() else None
    except OSError:  # the folder is closed to this user
        return None
