"""Whether a client gets on: errors, and commands without a step forward, are counted until it is enough."""

from relay.reply import Reply

# Commands without a step forward that cost nothing; each further one counts as an error.
_MOST_IDLE = 100
_IDLE = frozenset({"HELO", "EHLO", "NOOP", "RSET", "VRFY", "HELP"})


class Conduct:
    """What one session's client has done since its last message."""

    def __init__(self) -> None:
        self.errors = 0
        self.idle = 0  # commands

    def weigh(self, verb: str, answer: Reply) -> bool:
        """Count a command by its reply; gives whether it was a step forward."""
        # Recipients over the limit are counted by the transaction; whoever goes on asking for what cannot be
        # had now gets no further by it.
        idle = verb in _IDLE or (answer.code // 100 == 4 and verb != "RCPT")  # noqa: PLR2004
        chatters = idle and self.chatter()
        wrong = answer.code >= 500 or chatters  # noqa: PLR2004
        self.errors += wrong
        return not (idle or wrong)

    def chatter(self) -> bool:
        """Count a command that brings nothing; gives whether there were too many."""
        self.idle += 1
        return self.idle > _MOST_IDLE

    def begin_anew(self) -> None:
        """A message was taken: it has business here."""
        self.errors = self.idle = 0
