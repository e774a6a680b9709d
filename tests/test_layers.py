"""The rooms, held: imports run one way, and each foreign library has one door."""

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.at_once import at_once

PACKAGE = Path(__file__).parents[1] / "relay"
MODULES = sorted(PACKAGE.rglob("*.py"))

# A file imports from its own room and from the rooms before it, never from a room beside it or after it.
# A room within a room is named by its folder; what is not named belongs to the room around it.
ORDER = [
    {"__init__", "envelope", "mail", "outcome", "reply", "grants"},
    {"metrics"},
    {"config"},
    {"host"},
    {"message", "devices"},
    {"spool", "works"},
    {"conversion"},
    {"postgres"},
    {"stores"},
    {"courier"},
    {"notices", "intake"},
    {"smtp"},
    {"operator"},
    {"service"},
    {"console", "sandbox"},
    {"cli"},
    {"__main__"},
    {"django"},
]
WORDS = ORDER[0]
# The only files that stand beside the rooms.
LOOSE = WORDS | {"metrics", "intake", "stores", "__main__"}
# Forbidden beside the order. The two halves meet in the spool, and nowhere else.
NEVER = {
    "smtp": {"works", "courier", "intake", "spool", "notices"},
    "works": {"smtp", "spool", "courier", "intake"},
    "spool": {"works", "courier", "message"},
    "conversion": {"works"},
    "postgres": {"works", "courier", "message", "conversion"},
    "message": {"config", "host", "devices"},
    "devices": {"smtp", "spool", "operator"},
}
# All that these rooms may know of the relay, beside themselves.
ONLY = {"sandbox": WORDS | {"host"}, "django": set()}
# The same within a room: what a room of it may import of the room around it, and what it may not.
INNER_ONLY = {
    "message/text": {"message/limits", "message/transfer"},
    "message/formats": {"message/limits", "message/transfer", "message/text"},
    "works/http": {"works/diagnosis"},
}
INNER_NEVER = {"spool/rows": {"spool/sqlite"}, "works/pace": {"works/auth"}}
DOORS = {
    "aiosmtpd": {"smtp"},
    "httpx2": {"works/http", "works/auth"},
    "httpcore2": {"works/http"},
    "sqlite3": {"spool"},
    "psycopg": {"postgres"},
    "email": {"message", "notices", "django"},
    "smtplib": {"notices", "cli", "django"},
    "starlette": {"console", "sandbox"},
    "uvicorn": {"console", "sandbox"},
    "jinja2": {"host/templates"},
    "segno": {"console"},
    "cryptography": {"host/certificate", "works/auth", "postgres", "sandbox/bots"},
    "prometheus_client": {"metrics", "console"},
    "apprise": {"operator/alerts"},
    "click": {"cli"},
    "rich": {"cli"},
    "django": {"django"},
}
# Arrows against the rules above that stand for now: (file, what it imports), each with the step that cuts it.
EXCEPTIONS: dict[tuple[str, str], str] = {}


def name_file(path: Path) -> str:
    """A file by its place in the package: "smtp/session"; a room's `__init__` by the room."""
    name = str(path.relative_to(PACKAGE).with_suffix(""))
    return name.removesuffix("/__init__") or name


FILES = {name_file(path): path for path in MODULES}


def room(file: str) -> str:
    return file.partition("/")[0]


def lies_in(file: str, place: str) -> bool:
    return file == place or file.startswith(f"{place}/")


@functools.cache
def read_tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@functools.cache
def imports(path: Path) -> set[str]:
    """The dotted names that a file imports, those for types and those inside functions included."""
    found = set()
    for node in ast.walk(read_tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            base = node.module or ""
            inner = {f"{base}.{alias.name}" for alias in node.names}
            # What is imported is a file of the package, or a name in its `__init__`.
            found |= {name for name in inner if to_file(name) in FILES} or {base}
            if any(to_file(name) not in FILES for name in inner):
                found.add(base)
    return found


def to_file(name: str) -> str:
    return "__init__" if name == "relay" else name.removeprefix("relay.").replace(".", "/")


def own_files(file: str) -> set[str]:
    """The files of the package that a file imports."""
    return {
        to_file(name) for name in imports(FILES[file]) if name == "relay" or name.startswith("relay.")
    } & FILES.keys() - {file, "__init__"}


def arrows():
    return [(file, other) for file in FILES for other in sorted(own_files(file))]


def level(file: str) -> int:
    return next(number for number, rooms in enumerate(ORDER) if room(file) in rooms)


def is_wrong(file: str, other: str) -> bool:
    """Whether this import breaks the order, or one of the prohibitions."""
    here, there = room(file), room(other)
    if here != there:
        backwards = level(other) >= level(file) and not {here, there} <= WORDS
        only = ONLY.get(here)
        return backwards or there in NEVER.get(here, ()) or (only is not None and there not in only)
    for place, allowed in INNER_ONLY.items():
        if lies_in(file, place) and not any(lies_in(other, one) for one in {place, *allowed}):
            return True
    return any(
        lies_in(file, place) and any(lies_in(other, one) for one in forbidden)
        for place, forbidden in INNER_NEVER.items()
    )


@at_once
@pytest.mark.parametrize("file", FILES)
def test_imports_run_one_way(file):
    for other in own_files(file):
        assert not is_wrong(file, other) or (file, other) in EXCEPTIONS, f"{file} imports {other}"


def test_every_exception_is_still_one():
    """An arrow that was cut leaves the list."""
    wrong = {arrow for arrow in arrows() if is_wrong(*arrow)}
    assert wrong == EXCEPTIONS.keys()


@at_once
@pytest.mark.parametrize("file", FILES)
def test_a_foreign_library_has_one_door(file):
    for name in imports(FILES[file]):
        doors = DOORS.get(name.split(".")[0])
        assert doors is None or any(lies_in(file, door) for door in doors), f"{file} imports {name}"


def test_no_file_is_loose():
    """Beside the rooms stand the words and what joins the rooms, nothing else."""
    loose = {path.stem for path in PACKAGE.glob("*.py")}
    assert loose <= LOOSE
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert rooms | loose <= set().union(*ORDER) | {"locale"}


def test_the_package_names_every_room():
    text = (PACKAGE / "__init__.py").read_text(encoding="utf-8")
    for name in sorted({room(file) for file in FILES} - {"__init__", "__main__"}):
        assert f"    {name}" in text or f" {name}," in text, name


def test_there_are_no_circles():
    """No file reaches itself by way of its imports, those for types and those inside functions included."""
    edges = {file: own_files(file) for file in FILES}
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " → ".join((*way[way.index(name) :], name))
        if name not in done:
            for other in edges[name]:
                visit(other, (*way, name))
            done.add(name)

    for name in FILES:
        visit(name, ())


def test_sizes():
    """No file over 500 lines, no function over 80."""
    for path in MODULES:
        text = path.read_text(encoding="utf-8")
        assert text.count("\n") <= 500, path
        for node in ast.walk(read_tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno - node.lineno < 80, f"{path}: {node.name}"


def assigned(node):
    """The attribute targets that a statement assigns to."""
    targets = getattr(node, "targets", None) or [getattr(node, "target", None)]
    for target in targets:
        parts = target.elts if isinstance(target, ast.Tuple) else [target]
        yield from (part for part in parts if isinstance(part, ast.Attribute))


def is_self(node):
    return isinstance(node, ast.Name) and node.id == "self"


def read_classes():
    """Each class, by file and name: its bases' names, and the attributes that it assigns on self."""
    classes = {}
    for file, path in FILES.items():
        for node in ast.walk(read_tree(path)):
            if isinstance(node, ast.ClassDef):
                bases = [base.id for base in node.bases if isinstance(base, ast.Name)]
                own = {part.attr for one in ast.walk(node) for part in assigned(one) if is_self(part.value)}
                classes[file, node.name] = bases, own
    return classes


def find_attributes(key, classes):
    """The attributes of a class and of those that it inherits from."""
    bases, found = classes[key]
    for base in bases:
        homes = [file for file, name in classes if name == base]
        home = key[0] if key[0] in homes else homes[0] if len(homes) == 1 else None
        if home is not None and (home, base) != key:
            found = found | find_attributes((home, base), classes)
    return found


def test_no_class_holds_too_much():
    """Beyond twelve attributes on self, inherited ones included, a class is several."""
    classes = read_classes()
    counts = {key: len(find_attributes(key, classes)) for key in classes}
    assert {key: count for key, count in counts.items() if count > 12} == {}


def test_the_service_is_built_and_not_patched():
    """Parts are complete when they are constructed: nothing is set on them from outside afterwards."""
    trees = [read_tree(path) for file, path in FILES.items() if room(file) == "service"]
    patched = [
        ast.unparse(part)
        for tree in trees
        for node in ast.walk(tree)
        for part in assigned(node)
        if not is_self(part.value)
    ]
    assert patched == []


def test_what_the_relay_can_do_without_is_not_loaded_before_it_listens():
    """A start of 0.4 s takes 0.7 s with all of these, and the relay 46 MB in place of 36."""
    loads = (
        "import sys; from relay.cli import serve; from relay.host import logs; from relay import service; "
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", loads], capture_output=True, text=True, check=True)
    later = {
        "rich",
        "httpcore2",
        "httpx2",
        "starlette",
        "uvicorn",
        "jinja2",
        "chardet",
        "cryptography",
        "psycopg",
    }
    assert "aiosmtpd" in done.stdout.split()
    assert not later & set(done.stdout.split())
