"""A LINE WORKS Bot, which says something in a talk room (Works API §7).

It goes by the app's service account and no mailbox's grant: it works when all of these are dead.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

from relay.config.model import Alert, Works
from relay.works.auth.errors import TokenError
from relay.works.auth.oauth import AuthServer
from relay.works.http.post import PostError, post_json

_SCOPE = "bot.message"
_CREATED = 201
_LONGEST_TEXT = 2000  # characters


class BotError(Exception):
    """Nothing was said, and why."""


@dataclass(frozen=True, slots=True)
class Bot:
    """Says things in one room."""

    _works: Works  # the app, and where the API is
    _alert: Alert  # the Bot, its room and its service account
    _now: Callable[[], float]  # seconds since the epoch

    async def say(self, text: str) -> None:
        """Say this.

        Raises:
            BotError: it was not taken.
        """
        token = await self._ask_token()
        alert = self._alert
        url = (
            f"{self._works.api_url}/bots/{quote(alert.bot_id, safe='')}"
            f"/channels/{quote(alert.channel, safe='')}/messages"
        )
        message = {"content": {"type": "text", "text": text[:_LONGEST_TEXT]}}
        try:
            status = await post_json(url, message, self._works.proxy, {"authorization": f"Bearer {token}"})
        except PostError as error:
            raise BotError(f"Works: {error}") from None
        if status != _CREATED:
            raise BotError(f"Works answered {status}: see bot_id, channel and the app's scope {_SCOPE}")

    async def _ask_token(self) -> str:
        # Late: the library of keys costs what the relay need not have to listen.
        from relay.works.auth.service_account import KeyFileError, make_assertion

        works, alert = self._works, self._alert
        try:
            assertion = await asyncio.to_thread(
                make_assertion, works.client_id, alert.service_account, alert.private_key_file, self._now()
            )
            return (await AuthServer(works).trade(assertion, _SCOPE)).access_token
        except KeyFileError as error:
            raise BotError(str(error)) from None
        except TokenError as error:
            raise BotError(
                f"no access token for the service account ({error.diagnostic or error.failure.name})"
            ) from None
