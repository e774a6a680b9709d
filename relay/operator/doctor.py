"""The doctor's verbs for the control socket: what `relay doctor` asks the running service."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from relay.config.model import Config
from relay.config.networks import read_address
from relay.devices.doctor import diagnose
from relay.devices.recorder import ClientHistory, Line, Mark, Record, Recorder
from relay.host.clock import to_iso
from relay.spool import NoSuchMessage, SpoolError

Look = Callable[[str], Awaitable[dict[str, Any]]]
_LONGEST_PATIENCE = 25.0  # seconds that `--live` may wait for the next line


@dataclass(frozen=True, slots=True)
class DoctorVerbs:
    """Verbs that read the recorder, by the configuration of the moment."""

    _config: Callable[[], Config]
    _recorder: Recorder  # what was heard
    _look: Look  # how a message stands, by its id
    _others: Callable[[], Sequence[str]]  # the names of the other nodes, where a device may have been as well

    async def doctor(self, address: str = "", most: int = 0) -> dict[str, Any]:
        """The last sessions of one address, or of all, with advice.

        Args:
            address: of the client; "": all.
            most: of all only so many that came last; 0: every one.

        Raises:
            ValueError: it is no IP address.
        """
        answer: dict[str, Any] = {
            "since": to_iso(self._recorder.started),
            "listeners": [x.address for x in self._config().listener],
            "serial": self._recorder.serial,
            "others": [*self._others()],
        }
        if not address:
            answer["clients"] = [
                await self._describe(v, with_lines=False) for v in self._recorder.all()[: most or None]
            ]
            return answer
        wanted = _read_client(address)
        visits = self._recorder.visits(wanted)
        answer["clients"] = [await self._describe(visits, with_lines=True)] if visits else []
        return answer

    async def doctor_live(self, after: int, patience: float, address: str = "") -> dict[str, Any]:
        """Lines of sessions since `after`, waited for if there are none yet; advice when one ends.

        Raises:
            ValueError: the address is no IP address.
        """
        wanted = _read_client(address) if address else ""
        serial, news = await self._recorder.news(after, min(patience, _LONGEST_PATIENCE))
        lines = [x for x in news if wanted in ("", x.client)]
        return {
            "serial": serial,
            "lines": [
                {"client": x.client, "session": x.session, **one} for x in lines for one in _lines(x.line)
            ],
            "advice": {
                x.session: self._advise(x.client, x.session) for x in lines if x.line.mark is Mark.END
            },
        }

    def _advise(self, client: str, session: str) -> list[dict[str, str]]:
        visits = self._recorder.visits(client)
        record = visits.last if visits else None
        return self._advice(record) if record is not None and record.session == session else []

    def _advice(self, record: Record) -> list[dict[str, str]]:
        found = diagnose(record, self._config())
        return [{"problem": a.problem, "text": a.text, "fault": a.fault} for a in found]

    async def _describe(self, visits: ClientHistory, *, with_lines: bool) -> dict[str, Any]:
        last = visits.last
        before = visits.troubled if visits.troubled is not last else None
        return {
            "client": last.client,
            "last": await self._session(last, with_lines=with_lines),
            "troubled": await self._session(before, with_lines=with_lines) if before else None,
        }

    async def _fate(self, queue_id: str) -> dict[str, Any]:
        """What became of a message that was taken; one that is forgotten, or of which that is not known now
        for a reason, has no state.
        """
        nothing = {"queue_id": queue_id, "state": None, "reason": "", "hold": ""}
        try:
            found = await self._look(queue_id)
        except NoSuchMessage:
            return nothing
        except SpoolError as error:
            return nothing | {"reason": str(error)}
        return {key: found[key] for key in ("queue_id", "state", "reason", "hold")}

    async def _session(self, record: Record, *, with_lines: bool) -> dict[str, Any]:
        answer = {
            "session": record.session,
            "listener": record.listener,
            "started": to_iso(record.started),
            "ended": to_iso(record.ended) if record.ended else None,
            "helo": record.helo,
            "user": record.user,
            "tls": record.tls,
            "offered": record.offered,
            "messages": record.taken,
            # Of everybody's sessions only the last message each.
            "mail": [await self._fate(one) for one in record.queue_ids[0 if with_lines else -1 :]],
            "advice": self._advice(record),
        }
        if with_lines:
            answer["lines"] = [one for line in record.lines for one in _lines(line)]
            answer["left_out"] = record.left_out
        return answer


def _read_client(text: str) -> str:
    """The client by the name that the recorder gives it."""
    address = read_address(text)
    if address is None:
        raise ValueError(f"{text!r} is no IP address")
    return str(address)


def _lines(line: Line) -> list[dict[str, str]]:
    return [{"at": to_iso(line.at, "milliseconds"), "side": line.side, "text": text} for text in line.texts]
