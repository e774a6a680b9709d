"""What a person and a client ask of a message, as far as it is the same for every engine.

Which states a verb is for, and what it makes of them, is one rule. How it is written is each engine's own.
"""

from collections.abc import Sequence

from typing_extensions import override

from relay.envelope import Submission
from relay.spool import SUBMITTED_AGAIN, Entry, NoSuchMessage, Spool, SpoolDamaged, SpoolError, State
from relay.spool.rows.codecs import Damaged


class MessageVerbs(Spool):
    """The verbs on one message, and the look for one that is submitted again."""

    async def _change(self, queue_id: str, states: Sequence[State], state: State, event: str) -> None:
        """Bring a message from one of these states into that one, and note it. Raises NoSuchMessage."""
        raise NotImplementedError

    async def _find_submitted(self, submission: Submission) -> str | None:
        """The queue id of an equal message whose client may not have heard the reply."""
        raise NotImplementedError

    @override
    async def retry(self, queue_id: str) -> None:
        await self._change(queue_id, (State.DELAYED, State.HELD, State.FAILED), State.QUEUED, "retried")

    @override
    async def hold(self, queue_id: str) -> None:
        await self._change(queue_id, (State.QUEUED, State.DELAYED), State.HELD, "held")

    @override
    async def release(self, queue_id: str) -> None:
        await self._change(queue_id, (State.HELD,), State.QUEUED, "released")

    @override
    async def discard(self, queue_id: str) -> None:
        states = (State.QUEUED, State.DELAYED, State.HELD, State.FAILED)
        await self._change(queue_id, states, State.DISCARDED, "discarded")

    @override
    async def recall(self, submission: Submission) -> Entry | None:
        if not submission.envelope.client_address:
            return None
        queue_id = await self._find_submitted(submission)
        if queue_id is None:
            return None
        try:
            entry = await self.show(queue_id)
        except (NoSuchMessage, Damaged, SpoolDamaged):
            # Better sent twice than not at all.
            return None
        except SpoolError:
            self.unheard(queue_id)  # nobody answers for it: the next try does
            raise
        self.note(queue_id, SUBMITTED_AGAIN)
        return entry
