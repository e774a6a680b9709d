"""Files that come with the package and are no Python: units for systemd, documents, the manual, completion.

A wheel puts them below `share/` of the environment that it is installed in; in a source tree they lie where
they are kept.
"""

import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

_DISTRIBUTION = "works-smtp-relay"
_TREE = Path(__file__).resolve().parents[2]
# Where it is kept in the source tree, and where a wheel puts it; pyproject.toml says the same.
UNITS = ("systemd", "share/relay/systemd")
MANUAL = ("docs/man", "share/man/man1")
BASH = ("docs/completion/relay.bash", "share/bash-completion/completions/relay")
ZSH = ("docs/completion/_relay", "share/zsh/site-functions/_relay")
FISH = ("docs/completion/relay.fish", "share/fish/vendor_completions.d/relay.fish")
DOCUMENTS = ("docs", "share/relay/documents")
START = ("README.md", "share/relay/documents/start.md")
REFERENCE = ("relay.toml", "share/relay/documents/relay.toml")


def find_shared(place: tuple[str, str], suffix: str = "") -> list[Path]:
    """The files there, or the one file; only those whose names end with `suffix`.

    Raises:
        FileNotFoundError: there are none; the package was not installed by its wheel.
    """
    kept, installed = place
    source = _TREE / kept
    if (_TREE / "pyproject.toml").is_file() and source.exists():
        found = sorted(source.iterdir()) if source.is_dir() else [source]
    else:
        found = [path for path in _list_installed() if f"/{installed}" in path.as_posix()]
    found = [path for path in found if path.name.endswith(suffix) and path.is_file()]
    if not found:
        raise FileNotFoundError(f"{installed}: does not lie beside this program; install it by its wheel")
    return found


def how_to_add(extra: str) -> str:
    """The command that adds an extra of pyproject.toml to the environment that this program runs in.

    pip finds the distribution installed there, and takes from it what the extra wants.
    """
    return f"{sys.executable} -m pip install '{_DISTRIBUTION}[{extra}]'"


def _list_installed() -> list[Path]:
    try:
        files = distribution(_DISTRIBUTION).files or []
    except PackageNotFoundError:
        return []
    return sorted(Path(str(file.locate())).resolve() for file in files if "share/" in file.as_posix())
