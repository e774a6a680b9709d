"""Logs: one event a line on standard error, JSON for machines or text for people.

Every line of a message's life carries its `queue_id`, every line of a session its `session`. Secrets,
tokens, subjects and contents are never given to a logger; foreign libraries speak from warning up.
"""

import contextlib
import json
import logging
import os
import sys
from typing import Any, TextIO, cast

from relay.config.model import Log

# structlog takes rich along for stacks that it prints itself; ours go through `format_exc_info`. Without it
# a start is 50 ms shorter and the relay 3 MB smaller.
_HIDE = not {"rich", "structlog"} & sys.modules.keys()
if _HIDE:
    sys.modules["rich"] = None  # type: ignore[assignment]  # what makes an import fail
import structlog  # noqa: E402 - see above

if _HIDE:
    del sys.modules["rich"]

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
# They log commands, addresses and DATA lines below warning.
_FOREIGN = ("mail.log", "mail.debug", "httpx", "httpx2", "httpcore", "httpcore2", "uvicorn", "asyncio")
# How the journal is told a line's priority (sd-daemon(3)), so that `journalctl -p warning -u relay` has them.
_PRIORITIES = {"critical": "<2>", "error": "<3>", "warning": "<4>", "info": "<6>", "debug": "<7>"}
# Made once: json.dumps makes an encoder for each line that is not plain ASCII.
_JSON = json.JSONEncoder(ensure_ascii=False, default=repr)


class _Unfailing:
    """A stream whose trouble is its own: a log on a full disk, or a reader that is gone, stops no mail."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, or lose it."""
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, or lose it."""
        with contextlib.suppress(OSError):
            self._stream.flush()


def set_up(log: Log, *, for_good: bool = False) -> None:
    """Send structlog's and the foreign libraries' lines to standard error.

    Args:
        log: how.
        for_good: nothing else is set up in this process, so that each logger is made once and not for each
            line, which is a hundredth of what a small message costs.
    """
    render: structlog.typing.Processor = _render
    people = log.format == "console" or (log.format == "auto" and sys.stderr.isatty())
    if people:
        render = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _drop_nothing,
            structlog.processors.format_exc_info,
            _with_priority(render) if _goes_to_the_journal(sys.stderr) else render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[log.level]),
        logger_factory=structlog.WriteLoggerFactory(file=cast(TextIO, _Unfailing(sys.stderr))),
        cache_logger_on_first_use=for_good,
    )
    for name in _FOREIGN:
        foreign = logging.getLogger(name)
        foreign.setLevel(max(foreign.level, logging.WARNING))  # what was silenced altogether stays so


def be_silent() -> None:
    """For a command that says itself all that there is to say."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def _goes_to_the_journal(stream: TextIO) -> bool:
    """Whether systemd's journal reads this stream: $JOURNAL_STREAM names it (systemd.exec(5))."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def _with_priority(render: structlog.typing.Processor) -> structlog.typing.Processor:
    def prefixed(logger: Any, name: str, event: structlog.typing.EventDict) -> str:
        priority = _PRIORITIES.get(event.get("level", ""), "")
        return priority + str(render(logger, name, event))

    return prefixed


def _render(_: Any, __: str, event: structlog.typing.EventDict) -> str:
    return _JSON.encode(event)


def _drop_nothing(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    # A field that has no value says nothing; leaving it out keeps lines short.
    return {key: value for key, value in event.items() if value is not None}
