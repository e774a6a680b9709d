"""The console of a running service: what it is asked, answered from the service's parts."""

import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import structlog

from relay import __version__
from relay.config.fields import split_address
from relay.config.model import Account, Console, Listener
from relay.console.access import ConfiguredAccess
from relay.console.app import build
from relay.console.server import FEW, Server
from relay.console.status import AccountStatus, ListenerStatus, MessageStatus, Overview
from relay.mail import Weight
from relay.operator.asking import ask
from relay.outcome import TroubleKind
from relay.service import Service
from relay.smtp.server import ListenError
from relay.smtp.tls import Certificate, TlsError
from relay.spool import WAITING, Entry, NoSuchMessage, SpoolError, State
from relay.works.diagnosis import diagnose_failure

log = structlog.get_logger("console")
_DAY = 86400
# So many days before a grant ends somebody should know.
_GRANT_WARNING = 14
_MOST_DAMAGED, _MOST_SOURCES = 5, 5  # named on the page


class ServiceStatus:
    """`console.status.Status`, of a Service that has started."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def overview(self, messages: int) -> Overview:
        """Everything, with the newest `messages` messages.

        Raises:
            SpoolError: the spool cannot be read.
        """
        service, spool = self._service, self._service.spool
        accounts = tuple(self._account(account) for account in service.config.account)
        oldest = await spool.list(WAITING, 1)
        listed = await spool.list(tuple(State), messages, newest=True) if messages else []
        counts, now = await spool.counts(), time.time()
        return Overview(
            hostname=service.config.hostname,
            version=__version__,
            now=now,
            started=service.started,
            listeners=tuple(self._listeners()),
            accounts=accounts,
            queue={state.value: counts.get(state, 0) for state in State},  # in the order of a message's life
            oldest=oldest[0].arrival if oldest else None,
            messages=tuple(_message(entry) for entry in listed),
            warnings=(
                *_warn(accounts, now),
                *self._warn_of_strangers(),
                *self._warn_of_sources(),
                *[one async for one in self._warn_of_damage()],
            ),
        )

    def _warn_of_strangers(self) -> Iterable[str]:
        """Mail that waits for an account which is not in the configuration."""
        for name, outcome in self._service.courier.held.items():
            if self._service.config.find_account(name) is None:
                yield f"account {name}: {outcome.reason}"

    def _warn_of_sources(self) -> Iterable[str]:
        """Who sends more than it may, the most eager first."""
        deferred = self._service.server.guard.rates.deferred
        for source in sorted(deferred, key=lambda one: -deferred[one])[:_MOST_SOURCES]:
            yield (
                f"{source} has sent its messages_per_hour, and {deferred[source]} more were deferred: "
                "look whether it repeats itself"
            )

    async def _warn_of_damage(self) -> AsyncIterator[str]:
        """What was set aside since the start, and still waits for a person."""
        damage = [one for one in self._service.troubles.current if one.kind is TroubleKind.DAMAGE]
        for one in damage[-_MOST_DAMAGED:]:
            try:
                waits = (await self._service.spool.show(one.name)).state is State.HELD
            except NoSuchMessage:
                waits = True  # a file without a row
            if waits:
                yield f"set aside as damaged: {one.name}: {one.reason}"

    async def ask(self, name: str, verb: str, **arguments: Any) -> dict[str, Any]:
        """Ask the relay, as by its control socket."""
        return await ask(self._service.verbs, {"console_user": name or "anybody"}, verb, arguments)

    async def problems(self) -> tuple[str, ...]:
        """Why mail would not be taken now."""
        service = self._service
        found = []
        try:
            await service.spool.touch()
        except SpoolError as error:
            found.append(f"the spool cannot be written: {error}")
        room, keep_free = service.spool.room(), service.config.spool.keep_free
        largest = max((service.config.message_limit(one) for one in service.config.listener), default=0)
        if room.trouble:
            found.append(f"the spool's folder cannot be used, new mail gets 451: {room.trouble}")
        elif not room.accepting:
            found.append(
                "the spool's disk cannot be used, or has less free than keep_free: new mail gets 452"
            )
        elif room.free - keep_free < largest:
            found.append("the spool's disk has no room for a message of the largest size")
        if not service.config.account:
            found.append("no account is configured")
        if not service.courier.working:
            found.append("nothing is sent any more; the log says why")
        return tuple(found)

    def alive(self) -> bool:
        """Whether the courier works; that the loop turns is shown by the answer itself."""
        return self._service.courier.working

    def _listeners(self) -> Iterable[ListenerStatus]:
        for listener, (host, port), sessions in self._service.server.look():
            # A port of 0 was chosen by the system.
            real = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            address = real if listener.address.endswith(":0") else listener.address
            yield _listener(listener, address, sessions)

    def _account(self, account: Account) -> AccountStatus:
        grant = self._service.authorizer.grant(account.name)
        trouble = self._service.authorizer.trouble(account.name)
        held = diagnose_failure(trouble, account=account.name).reason if trouble else ""
        if not held and account.name in self._service.courier.held:
            held = "its last attempts say why"
        return AccountStatus(
            name=account.name,
            address=account.address,
            default=account.default,
            granted=grant.consented_at if grant else None,
            expires=grant.refresh_expires_at if grant else None,
            rotation=grant.rotation if grant else None,
            last_used=grant.used_at if grant else None,
            verified=grant.is_verified if grant else True,
            held=held,
        )


def _listener(listener: Listener, address: str, sessions: int) -> ListenerStatus:
    remarks = []
    if listener.tls != "none" and listener.tls_profile == "legacy":
        remarks.append("legacy: TLS 1.0 is allowed")
    if listener.auth != "off" and listener.auth_without_tls:
        remarks.append("passwords may come in plain text")
    return ListenerStatus(
        address=address,
        tls=listener.tls,
        auth=listener.auth,
        networks=tuple(str(network) for network in listener.networks),
        sessions=sessions,
        remark="; ".join(remarks),
    )


def _message(entry: Entry) -> MessageStatus:
    envelope = entry.envelope
    losses = sorted(entry.losses, key=lambda loss: loss.weight is Weight.USUAL)
    return MessageStatus(
        queue_id=entry.queue_id,
        arrival=entry.arrival,
        account=entry.account,
        client=envelope.source,
        reverse_path=envelope.reverse_path,
        recipients=len(envelope.forward_paths),
        size=entry.size,
        state=entry.state.value,
        attempts=entry.attempts,
        status=entry.status,
        reason=entry.reason,
        next_attempt=entry.next_attempt,
        losses=tuple(dict.fromkeys(loss.loss for loss in losses)),
    )


def _warn(accounts: Iterable[AccountStatus], now: float) -> Iterable[str]:
    for account in accounts:
        if account.granted is None:
            yield f"account {account.name} has no grant, and its mail waits: relay login {account.name}"
        elif account.held:
            yield f"account {account.name}: {account.held}"
        elif account.expires is not None and account.expires - now < _GRANT_WARNING * _DAY:
            days = max(0, int((account.expires - now) / _DAY))
            yield f"account {account.name} must consent again in {days} days: relay login {account.name}"


def _certificate(console: Console) -> Certificate | None:
    if not console.certificate_file:
        return None
    # The rules of a listener that speaks TLS from the first octet.
    keys = {"certificate_file": console.certificate_file, "private_key_file": console.private_key_file}
    return Certificate(Listener(address=console.address or "127.0.0.1:0", tls="implicit", **keys))


@asynccontextmanager
async def open_console(service: Service) -> AsyncIterator[Server | None]:
    """Serve the service's console where its configuration says; None where it says nowhere.

    Raises:
        ListenError: the address cannot be listened on.
    """
    console = service.config.console
    if not console.address:
        yield None
        return
    access = ConfiguredAccess(lambda: service.config)
    app = build(ServiceStatus(service), service.config, access=access)
    try:
        certificate = _certificate(console)
        server = Server(app, *split_address(console.address), FEW, certificate)
    except TlsError as error:
        raise ListenError(f"[console] {console.address}", error.problem, error.remedy) from error
    except OSError as error:
        raise ListenError(
            f"[console] {console.address}", f"cannot listen: {error.strerror or error}"
        ) from error
    try:
        await server.start()
        log.info("console", url=server.url)
        yield server
    finally:
        await server.stop()
