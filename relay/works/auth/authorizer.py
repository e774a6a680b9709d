"""A live access token for each account: refreshed ahead, one refresh at a time, never lost.

With rotation on, a refresh kills the old refresh token at once (Works API §2), so:

- "a refresh has started" is durable before the request, and the new tokens are before they are used: in
  escrow at least, if the store cannot be written (`keeping`);
- a refresh is a task of its own, which no caller's cancellation reaches, and one process at a time may do
  it. A login does not wait for it: the store takes the new tokens only in the place of those refreshed;
- it happens at half of the access token's life, also for accounts that send nothing. If the relay
  dies between the request and the storing, the next start tries the stored refresh token once; if
  that is dead, the account sends with the stored access token while it lives, and the operator
  has been told meanwhile; then it is held until somebody logs in.

A grant that `relay login` writes is picked up while this runs.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import structlog

from relay import metrics
from relay.grants import EXPIRY_MARKS, Grant, GrantError, GrantReplacedError, Mark
from relay.works.auth.errors import TokenError
from relay.works.auth.escrow import Renewed
from relay.works.auth.keeping import Keeping, Kept
from relay.works.auth.oauth import AuthServer, Tokens
from relay.works.diagnosis import Failure

# A token that dies while the request is on its way is as good as dead.
_MARGIN, _MARGIN_SHARE = 30.0, 0.1  # seconds, and at most this share of its life
_POLL = 2.0  # seconds between looks at the store: `relay login` is noticed so soon
_LOOK = 0.5  # seconds for which a token that lives needs no look at the store
_FIRST_PAUSE, _LONGEST_PAUSE = 2.0, 60.0  # seconds after a refresh that could not be done
_LOCK_PATIENCE, _LOCK_POLL = 30.0, 0.05  # seconds
# A message that waits for a refresh keeps a slot from the other accounts' mail.
_WAIT_FOR_REFRESH = 30.0  # seconds
_NOTE_USE_EVERY = 3600.0  # seconds
# An authorization server that is not well for so long may be one that will not take this grant again.
_OVERDUE = 3600.0  # seconds
_DAY = 86400.0  # seconds

log = structlog.get_logger(__name__)

OnTrouble = Callable[[str, Failure | None], None]
OnWarning = Callable[[str, int], None]


@dataclass(slots=True)
class _State:
    """What is known of one account beside its grant."""

    grant: Grant | None = None
    version: object = None
    read: bool = False
    looked: float = 0.0  # when the store was last asked, monotonic
    rejected: str = ""  # an access token that the API has refused
    refused: str = ""  # a refresh token that the authorization server has refused: not tried again
    unsaved: Renewed | None = None  # the store would not take it, and what it has may be dead
    trouble: Failure | None = None
    diagnostic: str = ""
    unavailable_since: float = 0.0  # by the clock; 0: the authorization server answers
    pause: float = 0.0  # seconds; grows while the authorization server is not well
    again_at: float = 0.0  # no refresh before, by the clock
    used_at: float = 0.0
    warned: tuple[str, int] = ("", 0)  # the last warning: of which refresh token, at how many days
    refreshing: asyncio.Task[None] | None = None


class Authorizer:
    """Gives access tokens and keeps grants alive."""

    def __init__(
        self,
        server: AuthServer,
        keeping: Keeping,
        on_trouble: OnTrouble | None = None,
        clock: Callable[[], float] = time.time,
        on_warning: OnWarning | None = None,
    ) -> None:
        """Args:
        server: the authorization server.
        keeping: where grants are kept.
        on_trouble: told of an account's trouble when it changes, perhaps while it `can_send` still;
            None: it is over.
        clock: seconds since the epoch.
        on_warning: told, 30, 14, 7 and 1 days before, that a grant dies in at most so many days; 0: not
            any more.
        """
        self._server = server
        self._keeping = keeping
        self._on_trouble = on_trouble
        self._on_warning = on_warning
        self._clock = clock
        self._states: dict[str, _State] = {}

    async def token(self, account: str, rejected: str = "") -> str:
        """A live access token.

        Args:
            account: the account's name.
            rejected: a token that the API has just answered 401 to. However many callers come with the
                same one, one refresh is done.

        Raises:
            TokenError: there is none, and its `failure` says why.
        """
        state = self._states.get(account)
        if rejected or state is None or not self._lives(state) or time.monotonic() > state.looked + _LOOK:
            state = await self._look(account)
        if rejected:
            state.rejected = rejected
        if not self._lives(state):
            await self._refresh(account, state)
        if state.grant is None or not self._lives(state):
            raise TokenError(state.trouble or Failure.TOKEN_UNAVAILABLE, state.diagnostic)
        state.used_at = self._clock()
        return state.grant.access_token

    def trouble(self, account: str) -> Failure | None:
        """What is wrong with the account's grant as far as it is known; None: nothing."""
        state = self._states.get(account)
        return state.trouble if state else None

    def diagnostic(self, account: str) -> str:
        """What more is known of that trouble: why the grant's file cannot be read, for instance."""
        state = self._states.get(account)
        return state.diagnostic if state else ""

    def can_send(self, account: str) -> bool:
        """Whether there is a living access token, whatever its refresh said.

        A refused refresh is told as trouble at once; the account's mail need not wait until this is False.
        """
        state = self._states.get(account)
        return state is not None and self._lives(state)

    def grant(self, account: str) -> Grant | None:
        """The account's grant as it was last read, with the time of its last use."""
        state = self._states.get(account)
        if state is None or state.grant is None:
            return None
        return replace(state.grant, used_at=max(state.used_at, state.grant.used_at or 0.0) or None)

    async def keep_alive(self, accounts: Iterable[str]) -> None:
        """Refresh what is due, for ever; notice new grants. Cancel it to end it, then `aclose`."""
        names = list(accounts)
        while True:
            for name in names:
                try:
                    await self.check(name)
                except TokenError:
                    continue  # told already, by `on_trouble` and in the log
                except Exception:
                    # A fault of ours in one account must not let the other grants die.
                    log.exception("grant not looked at", account=name)
            await asyncio.sleep(_POLL)

    async def check(self, account: str) -> None:
        """Look at one account: read a new grant, refresh one that is due.

        Raises:
            TokenError: there is no usable grant.
        """
        state = await self._look(account)
        if self._due(state) or state.unsaved is not None:
            await self._refresh(account, state)
        await self._note_use(account, state)
        if state.grant is None:
            raise TokenError(Failure.NO_GRANT)
        self._warn(account, state, state.grant)

    async def aclose(self) -> None:
        """Wait for the refreshes under way: a rotated token is not thrown away."""
        tasks = [state.refreshing for state in self._states.values() if state.refreshing]
        if tasks:
            await asyncio.wait(tasks)
        for account, state in self._states.items():
            if state.unsaved is not None:
                state.again_at = 0.0
                await self._refresh(account, state)
            await self._note_use(account, state, at_once=True)

    def _lives(self, state: _State) -> bool:
        grant = state.grant
        if grant is None or grant.access_token == state.rejected:
            return False
        margin = min(_MARGIN, _MARGIN_SHARE * (grant.expires_at - grant.issued_at))
        return self._clock() < grant.expires_at - margin

    def _due(self, state: _State) -> bool:
        grant = state.grant
        if grant is None:
            return False
        # A clock that was set back must not keep a token past its life: issued in the future is due too.
        now = self._clock()
        due = (
            now >= grant.half_life_at
            or now < grant.issued_at - _MARGIN
            or grant.refresh_started_at is not None
        )
        return (due or grant.access_token == state.rejected) and self._may_refresh(state)

    def _may_refresh(self, state: _State) -> bool:
        grant = state.grant
        if grant is None or grant.refresh_token == state.refused:
            return False
        wait = state.again_at - self._clock()
        return not 0 < wait <= _LONGEST_PAUSE  # longer: the clock was set back

    async def _look(self, account: str) -> _State:
        """The account's state, its grant read again if somebody stored one."""
        state = self._states.setdefault(account, _State())
        while True:
            state.looked, known = time.monotonic(), (state.version, state.read)
            version, fault, kept = None, "", Kept(None)
            try:
                version = await self._keeping.store.version(account)
                if known == (version, True):
                    return state
                kept = await self._keeping.load(account)
            except GrantError as error:
                fault = str(error)
            # Else somebody read or stored one meanwhile: what was read here may be the older one, and its
            # refresh token dead.
            if known == (state.version, state.read):
                break
        if fault:
            # Read again at the next look: a file that becomes readable need not have changed.
            state.grant, state.read = None, False
            self._tell(account, state, Failure.NO_GRANT, fault)
            return state
        before, grant = state.grant, kept.grant
        # Set before anybody is told: listeners ask at once whether the account can send.
        state.grant, state.version, state.read = grant, version, True
        self._take_back_warning(account, state)  # before anybody hears that the account is well again
        lost = state.unsaved is not None and not state.unsaved.follows(grant)
        if lost or kept.unsaved is not None:
            state.unsaved = kept.unsaved
        if grant is None:
            self._tell(account, state, Failure.NO_GRANT)
            await self._keeping.forget_escrow(account)
        elif before is None or grant.consented_at != before.consented_at:
            if before is not None and state.trouble is None and self._on_trouble is not None:
                # The API may have refused what was in order here: 401 after a refresh, 403.
                self._on_trouble(account, None)
            self._tell(account, state, None)
            state.pause = state.again_at = 0.0
            state.rejected = state.refused = ""
        return state

    def _tell(self, account: str, state: _State, trouble: Failure | None, diagnostic: str = "") -> None:
        state.diagnostic = diagnostic
        if trouble not in (Failure.TOKEN_UNAVAILABLE, Failure.TOKEN_OVERDUE):
            state.unavailable_since = 0.0
        if trouble is state.trouble:
            return
        state.trouble = trouble
        if trouble is None:
            log.info("grant in order", account=account)
        else:
            log.error("grant in trouble", account=account, trouble=trouble.name, diagnostic=diagnostic)
        if self._on_trouble is not None:
            self._on_trouble(account, trouble)

    def _take_back_warning(self, account: str, state: _State) -> None:
        """Take a warning back if the account has another grant than the one that it was about."""
        if state.warned[0] and (state.grant is None or state.grant.refresh_token != state.warned[0]):
            state.warned = ("", 0)
            if self._on_warning is not None:
                self._on_warning(account, 0)

    def _warn(self, account: str, state: _State, grant: Grant) -> None:
        """Warn once at each mark that the refresh token dies; with rotation on none comes near a mark."""
        left = (grant.refresh_expires_at - self._clock()) / _DAY
        mark = next((days for days in EXPIRY_MARKS if left <= days), None)
        if mark is None or state.warned == (grant.refresh_token, mark):
            return
        state.warned = (grant.refresh_token, mark)
        log.warning("grant dies soon", account=account, days_left=round(max(0.0, left), 1))
        if self._on_warning is not None:
            self._on_warning(account, mark)

    async def _refresh(self, account: str, state: _State) -> None:
        """Wait for the refresh of this account that is under way, or begin one."""
        if state.refreshing is None:
            if not self._may_refresh(state):
                return
            state.refreshing = asyncio.create_task(
                self._run_refresh(account, state), name=f"refresh {account}"
            )
        # Whoever waits may be cancelled or run out of patience. The refresh goes on.
        task = state.refreshing
        await asyncio.wait({task}, timeout=_WAIT_FOR_REFRESH)
        if task.done():
            task.result()

    async def _run_refresh(self, account: str, state: _State) -> None:
        try:
            await self._locked_refresh(account, state)
            metrics.REFRESHES.labels("granted").inc()
        except TokenError as error:
            metrics.REFRESHES.labels("refused" if error.refused else "unavailable").inc()
            self._give_up(account, state, error)
        except GrantError as error:
            # A new token that cannot be stored is not used (a crash would lose it).
            self._give_up(account, state, TokenError(Failure.TOKEN_UNAVAILABLE, str(error)))
        finally:
            state.refreshing = None

    def _give_up(self, account: str, state: _State, error: TokenError) -> None:
        if error.final and state.grant is not None:
            state.refused = state.grant.refresh_token
        self._wait(state)
        overdue = error.failure is Failure.TOKEN_UNAVAILABLE and self._is_overdue(state)
        self._tell(account, state, Failure.TOKEN_OVERDUE if overdue else error.failure, error.diagnostic)

    def _wait(self, state: _State) -> None:
        """Try no more for a while, and longer each time."""
        state.pause = min(state.pause * 2 or _FIRST_PAUSE, _LONGEST_PAUSE)
        state.again_at = self._clock() + state.pause

    def _is_overdue(self, state: _State) -> bool:
        now = self._clock()
        state.unavailable_since = min(state.unavailable_since or now, now)
        return now - state.unavailable_since >= _OVERDUE and not self._lives(state)

    async def _locked_refresh(self, account: str, state: _State) -> None:
        until = time.monotonic() + _LOCK_PATIENCE
        while True:
            async with self._keeping.store.refreshing(account) as ours:
                if ours:
                    await self._renew(account, state)
                    return
            if time.monotonic() > until:
                raise TokenError(Failure.TOKEN_UNAVAILABLE, "another process holds the grant")
            await asyncio.sleep(_LOCK_POLL)

    async def _renew(self, account: str, state: _State) -> None:
        before = state.grant
        await self._look(account)
        grant = state.grant
        if grant is None:
            return
        if state.unsaved is not None:
            await self._keep(account, state, state.unsaved)
        elif before is None or grant.access_token == before.access_token:
            await self._keep(account, state, await self._ask(account, state, grant))
        # Else another process was faster, or somebody logged in.

    async def _ask(self, account: str, state: _State, grant: Grant) -> Renewed:
        """Ask for new tokens. That a refresh has started is durable before the request leaves."""
        store, of = self._keeping.store, grant.fingerprint
        now = self._clock()
        await store.mark(account, of, Mark.REFRESH_STARTED, now)
        state.grant = replace(grant, refresh_started_at=now)
        try:
            asked, tokens = await self._offer(account, grant)
        except TokenError as error:
            # The answer is known: the next start need not ask whether tokens were lost.
            if error.failure is not Failure.TOKEN_UNAVAILABLE:
                await store.mark(account, of, Mark.REFRESH_STARTED, None)
                state.grant = grant
            raise
        return Renewed(renew(asked, tokens, self._clock()), of)

    async def _offer(self, account: str, grant: Grant) -> tuple[Grant, Tokens]:
        """Offer this grant's refresh token, then those in escrow; the grant that worked, and its tokens."""
        try:
            return grant, await self._server.refresh(grant.refresh_token)
        except TokenError as error:
            if not error.final:
                raise
            for other in await self._keeping.find_later(account, grant):
                # Everything but the refresh token is this grant's.
                token, issued = other.refresh_token, other.refresh_issued_at
                try:
                    tokens = await self._server.refresh(token)
                except TokenError as later:
                    if not later.final:
                        raise
                else:
                    return replace(grant, refresh_token=token, refresh_issued_at=issued), tokens
            raise

    async def _keep(self, account: str, state: _State, renewed: Renewed) -> None:
        """Keep a renewed grant; it is used only after that."""
        state.unsaved = renewed
        try:
            version = await self._keeping.keep(account, renewed)
        except GrantReplacedError:
            state.unsaved = None
            await self._drop(account, await self._look(account), renewed.grant)
            return
        state.grant = renewed.grant
        if renewed.grant.access_token == state.rejected:
            state.rejected = ""  # the same again: if the API still refuses it, that is its answer
        if version is None:
            self._wait(state)  # it is in escrow, and is used; the store is tried again
        else:
            state.version, state.unsaved = version, None
            state.pause = state.again_at = 0.0
        log.info("grant refreshed", account=account, rotation=renewed.grant.rotation)
        self._tell(account, state, None)

    async def _drop(self, account: str, state: _State, grant: Grant) -> None:
        """Throw away what a refresh brought: somebody consented or logged out while it was under way."""
        if state.grant is None or state.grant.consented_at != grant.consented_at:
            await self._keeping.forget_escrow(account)
        if state.grant is None:
            # `relay logout` revoked what it found. What came after it must not stay good for 90 days.
            with contextlib.suppress(TokenError):
                await self._server.revoke(grant.refresh_token, "refresh_token")
                await self._server.revoke(grant.access_token, "access_token")

    async def _note_use(self, account: str, state: _State, *, at_once: bool = False) -> None:
        grant = state.grant
        busy = state.refreshing is not None or state.unsaved is not None
        if grant is None or busy or state.used_at <= (grant.used_at or 0.0):
            return
        if not at_once and state.used_at - (grant.used_at or 0.0) < _NOTE_USE_EVERY:
            return
        used = state.used_at
        with contextlib.suppress(GrantError):
            await self._keeping.store.mark(account, grant.fingerprint, Mark.USED, used)
            if state.grant is grant:
                state.grant = replace(grant, used_at=used)


def renew(grant: Grant, tokens: Tokens, now: float) -> Grant:
    """The grant after a refresh at `now`."""
    rotated = tokens.refresh_token is not None and tokens.refresh_token != grant.refresh_token
    return replace(
        grant,
        access_token=tokens.access_token,
        expires_at=now + tokens.lives,
        issued_at=now,
        refresh_token=tokens.refresh_token or grant.refresh_token,
        refresh_issued_at=now if rotated else grant.refresh_issued_at,
        scope=tokens.scope or grant.scope,
        rotation=rotated,
        refresh_started_at=None,
    )
