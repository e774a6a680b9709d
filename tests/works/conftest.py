"""The connection's tests run on both event loops: they hang on how each tells of a broken one."""

import asyncio

import uvloop

_ON_BOTH = ("test_client", "test_exchange", "test_instances")


def pytest_asyncio_loop_factories(config, item):
    loops = {"asyncio": asyncio.new_event_loop}
    if item.path.stem in _ON_BOTH:
        loops["uvloop"] = uvloop.new_event_loop
    return loops
