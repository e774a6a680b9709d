"""The rooms, held: imports run one way, and each foreign library has one door."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "relay"
MODULES = sorted(PACKAGE.rglob("*.py"))

# A room may import from those before it, never from those after it.
ORDER = [
    {
        "__init__",
        "reply",
        "envelope",
        "mail",
        "outcome",
        "units",
        "passwords",
        "certificate",
        "metrics",
        "clock",
        "allocator",
        "writeback",
    },
    {"config"},
    {"message"},
    {"include", "converter"},
    {"load"},
    {"spool", "works"},
    {"logs", "systemd", "trace", "learn"},
    {"courier", "notices"},
    {"intake"},
    {"smtp", "verbs"},
    {"control"},
    {"doctor", "learned"},
    {"service", "check"},
    {"console", "sandbox", "cli", "__main__"},
]
# They meet in the spool, and nowhere else.
NEVER = {
    "smtp": {"works", "courier", "intake", "spool"},
    "works": {"smtp", "spool", "courier", "intake"},
    "spool": {"smtp", "works", "courier", "intake", "message"},
    "message": {"config", "load", "spool", "works", "smtp"},
    "sandbox": {"spool", "smtp", "works", "courier", "intake", "service"},
}
DOORS = {
    "aiosmtpd": {"smtp"},
    "httpx2": {"works"},
    "httptools": {"works"},
    "sqlite3": {"spool"},
    "email": {"message", "notices"},
    "starlette": {"console", "sandbox"},
    "uvicorn": {"console", "sandbox"},
    "jinja2": {"console", "sandbox"},
    "cryptography": {"certificate"},
    "prometheus_client": {"metrics", "console"},
    "click": {"cli"},
    "rich": {"cli"},
}


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            base = node.module or ""
            # `from relay import reply` names the room in what is imported.
            found |= {f"relay.{alias.name}" for alias in node.names} if base == "relay" else {base}
    return found


def own_rooms(path: Path) -> set[str]:
    rooms = {name.split(".")[1] for name in imports(path) if name.startswith("relay.")}
    return {"__init__" if name.startswith("__") else name for name in rooms} - {room(path)}


def level(name: str) -> int:
    return next(number for number, rooms in enumerate(ORDER) if name in rooms)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_one_way(path):
    if room(path) in ("cli", "__main__"):
        return
    for other in own_rooms(path):
        assert level(other) <= level(room(path)), f"{room(path)} imports {other}"
        assert other not in NEVER.get(room(path), set()), f"{room(path)} must not know {other}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_foreign_library_has_one_door(path):
    for name in imports(path):
        doors = DOORS.get(name.split(".")[0])
        assert doors is None or room(path) in doors, f"{room(path)} imports {name}"


def test_there_are_no_circles():
    """No file reaches itself by way of its imports, those for types and those inside functions included."""
    names = {".".join(("relay", *p.relative_to(PACKAGE).with_suffix("").parts)): p for p in MODULES}
    names = {name.removesuffix(".__init__"): path for name, path in names.items()}
    edges = {name: files_imported(path, names) for name, path in names.items()}
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " → ".join((*way[way.index(name) :], name))
        if name not in done:
            for other in edges[name]:
                visit(other, (*way, name))
            done.add(name)

    for name in names:
        visit(name, ())


def files_imported(path: Path, names: dict[str, Path]) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            # What is imported is a file of the package, or a name in its `__init__`.
            found |= {file if file in names else node.module for file in inner}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return (found & names.keys()) - {"relay"}


def test_sizes():
    """No file over 500 lines, no function over 80."""
    for path in MODULES:
        text = path.read_text(encoding="utf-8")
        assert text.count("\n") <= 500, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno - node.lineno < 80, f"{path}: {node.name}"


def test_what_the_relay_can_do_without_is_not_loaded_before_it_listens():
    """A start of 0.4 s takes 0.7 s with all of these, and the relay 46 MB in place of 36."""
    loads = "import sys; from relay.cli import serve; from relay import logs, service; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", loads], capture_output=True, text=True, check=True)
    later = {"rich", "httpx2", "starlette", "uvicorn", "jinja2", "chardet", "cryptography"}
    assert "aiosmtpd" in done.stdout.split()
    assert not later & set(done.stdout.split())
