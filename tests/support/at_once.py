"""Many small cases as one test: as an item each, pytest spends more on them than they do."""

import inspect
import itertools
import traceback

import pytest

_PARAM = type(pytest.param())
_SHOWN = 20  # failures whose tracebacks are told; of the others the names are


def at_once(check):
    """Make one test of the `pytest.mark.parametrize` below; it tells each case that fails by its name."""
    axes = [list(_read(mark)) for mark in check.pytestmark]
    cases = [
        (
            "-".join(name for name, _ in parts),
            {key: value for _, given in parts for key, value in given.items()},
        )
        for parts in itertools.product(*axes)
    ]
    assert cases, "there is no case"

    def test():
        wrong = {}
        for name, given in cases:
            try:
                check(**given)
            except Exception:  # noqa: BLE001 - whatever it is, the other cases are looked at too
                wrong[name] = traceback.format_exc()
        if wrong:
            told = "\n".join(f"[{name}]\n{wrong[name]}" for name in list(wrong)[:_SHOWN])
            raise AssertionError(f"{len(wrong)} of {len(cases)} cases failed: {', '.join(wrong)}\n{told}")

    assert not inspect.iscoroutinefunction(check), "it is not awaited"
    test.__name__, test.__doc__, test.__module__ = check.__name__, check.__doc__, check.__module__
    return test


def _read(mark):
    """The cases of one mark: their names, and the arguments that each gives."""
    keys, values = mark.args
    keys = [key.strip() for key in keys.split(",")] if isinstance(keys, str) else list(keys)
    values = [value if isinstance(value, _PARAM) else pytest.param(value) for value in values]
    ids = mark.kwargs.get("ids")
    for number, (given, _, own) in enumerate(values):
        plain = given[0] if len(given) == 1 else given
        name = own or (ids(plain) if callable(ids) else list(ids)[number] if ids else _name(plain))
        yield str(name), dict(zip(keys, given if len(keys) == len(given) else plain, strict=True))


def _name(value):
    return value if isinstance(value, str) else repr(value)[:60]
