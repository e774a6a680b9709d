"""`include` of relay.toml: other files that add to it, and the devices that were adopted."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from relay.config.model import Config

LEARNED = "learned.toml"  # in state_dir; written by `relay learn --adopt`


def add_files(tree: dict[str, Any], main: Path, environ: Mapping[str, str]) -> list[str]:
    """Add to the tree what the files of its `include` hold; gives the problems.

    Paths are relative to the main file's folder. A pattern may match nothing; a plain path has to
    exist. Tables are joined, arrays of tables lengthened; a key that is set twice is a problem.
    """
    problems: list[str] = []
    for path in [*_find(tree.get("include", []), main, problems), *_find_learned(tree, environ)]:
        try:
            more = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            problems.append(f"include: {path}: cannot be read ({error.strerror})")
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            problems.append(f"include: {path}: is not TOML: {error}")
        else:
            if more.pop("include", None) is not None:
                problems.append(f"include: {path}: an included file cannot include others")
            problems += [
                f"{path}: {where}: is set in another file already" for where in _join(tree, more, "")
            ]
    return problems


def _find(patterns: object, main: Path, problems: list[str]) -> list[Path]:
    found: list[Path] = []
    if not isinstance(patterns, list):
        return found  # the model says what it should have been
    for pattern in patterns:
        if not isinstance(pattern, str) or not pattern:
            continue
        path = main.parent / pattern
        matches = (
            sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor)))) if "*" in pattern else [path]
        )
        found += [match for match in matches if match not in found]
        if "*" not in pattern and not path.exists():
            problems.append(f"include: {path}: there is no such file")
            found.remove(path)
    return found


def _find_learned(tree: dict[str, Any], environ: Mapping[str, str]) -> list[Path]:
    folder = (
        environ.get("RELAY_STATE_DIR") or tree.get("state_dir") or Config.model_fields["state_dir"].default
    )
    path = Path(str(folder)) / LEARNED
    try:
        return [path] if path.exists() else []
    except OSError:
        return []  # a command that reads no state, run by somebody who may not


def _join(tree: dict[str, Any], more: dict[str, Any], where: str) -> list[str]:
    twice: list[str] = []
    for key, value in more.items():
        here = f"{where}.{key}" if where else key
        if key not in tree:
            tree[key] = value
        elif isinstance(tree[key], dict) and isinstance(value, dict):
            twice += _join(tree[key], value, here)
        elif _is_array(tree[key]) and _is_array(value):
            tree[key] = [*tree[key], *value]
        else:
            twice.append(here)
    return twice


def _is_array(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)
