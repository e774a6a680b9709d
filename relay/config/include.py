"""`include` of relay.toml: other files that add to it, and the devices that were adopted."""

from pathlib import Path
from typing import Any

from relay.config.reading import read
from relay.config.sources import Sources, name_key, tell_slip

LEARNED = "learned.toml"  # in state_dir; written by `relay learn --adopt`
# All that the file may hold. It belongs to the service's user: nothing in it may say what an administrator's
# command reads, where secrets are sent, or who else may connect.
LEARNED_KEYS = ("address", "listener", "note")


def add_files(tree: dict[str, Any], main: Path, sources: Sources) -> list[str]:
    """Add to the tree what the files of its `include` hold; gives the problems.

    Paths are relative to the main file's folder. A pattern may match nothing; a plain path has to
    exist. Tables are joined, arrays of tables lengthened; a key that is set twice is a problem.
    """
    problems: list[str] = []
    for path in find_files(tree.get("include", []), main, problems):
        more = _read(path, problems, tree, sources)
        if more.pop("include", None) is not None:
            problems.append(f"include: {path}: an included file cannot include others")
        problems += [f"{path}: {where}: is set in another file already" for where in _join(tree, more, "")]
    return problems


def add_learned(tree: dict[str, Any], state_dir: Path, sources: Sources) -> list[str]:
    """Add to the tree the devices that `relay learn` adopted; gives the problems.

    The file may hold `[[device]]` with address, listener and note, and nothing else.
    """
    path = state_dir / LEARNED
    problems: list[str] = []
    try:
        if not path.exists():
            return []
        if not path.is_file():
            return [f"{path}: is not a file"]
    except OSError:
        return []  # a command that reads no state, run by somebody who may not
    learned = _read(path, problems, tree, sources)
    devices = learned.pop("device", [])
    problems += [f"{path}: {key}: only [[device]] may stand in this file" for key in learned]
    if not _is_array(devices):
        return [*problems, f"{path}: device: expected [[device]], with two brackets"]
    for i, device in enumerate(devices):
        problems += [
            f"{path}: {name_key(('device', i, key), learned)}: "
            "only address, listener and note may stand here; move the device to relay.toml"
            for key in sorted(device.keys() - set(LEARNED_KEYS))
        ]
    _join(tree, {"device": [{key: d[key] for key in LEARNED_KEYS if key in d} for d in devices]}, "")
    return problems


def _read(path: Path, problems: list[str], tree: dict[str, Any], sources: Sources) -> dict[str, Any]:
    try:
        document = read(path)
    except OSError as error:
        problems.append(f"include: {path}: cannot be read ({error.strerror})")
        return {}
    problems += [tell_slip(path, slip) for slip in document.slips]
    if document.tree is None:
        return {}
    sources.add_file(path, document.text, tree)
    return document.tree


def find_files(patterns: object, main: Path, problems: list[str]) -> list[Path]:
    """The files that `include` names; what is wrong with it is added to the problems."""
    found: list[Path] = []
    if not isinstance(patterns, list | tuple):
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
