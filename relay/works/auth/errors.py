"""What goes wrong with tokens."""

from relay.works.diagnosis import Failure


class TokenError(Exception):
    """No access token can be had. Carries what `diagnosis` makes an Outcome of, and no secret."""

    def __init__(self, failure: Failure, diagnostic: str = "", *, final: bool = False) -> None:
        super().__init__(failure.name)
        self.failure = failure
        self.final = final  # this refresh token will never be taken again
        self.diagnostic = diagnostic  # the authorization server's words, for the trace

    @property
    def refused(self) -> bool:
        """Whether a person must act; otherwise it passes by itself."""
        return self.failure is not Failure.TOKEN_UNAVAILABLE
