"""The configuration of this moment: one for the whole relay, and one way to hear of another."""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack

from relay.config.model import Config

Listener = Callable[[Config], None]
Amendment = Callable[[Config], Config]
Preparation = Callable[[Config], AbstractContextManager[None]]


class Current:
    """Holds the configuration. Whoever needs it asks each time, or is told when it is another one."""

    def __init__(self, config: Config) -> None:
        self.first = config  # of the start: what cannot change while the relay runs goes by it
        self._config = config
        self._listeners: list[Listener] = []
        self._preparations: list[Preparation] = []
        self._amendments: list[Amendment] = []

    @property
    def config(self) -> Config:
        """As it is now."""
        return self._config

    def subscribe(self, listener: Listener) -> None:
        """Have this listener told of each new configuration, after those that subscribed before."""
        self._listeners.append(listener)

    def amend(self, amendment: Amendment) -> None:
        """Have something added to each new configuration that no file says."""
        self._amendments.append(amendment)

    def prepare(self, preparation: Preparation) -> None:
        """Have something made ready for each new configuration before anybody goes by it.

        Args:
            preparation: a context. To enter it makes ready, or raises what `replace` raises; when it is left
                the configuration holds, or, by an exception, another part could not be made ready.
        """
        self._preparations.append(preparation)

    def replace(self, config: Config) -> None:
        """Go on by another configuration.

        Raises:
            Exception: what a preparation raised. Nothing has changed.
        """
        for amendment in self._amendments:
            config = amendment(config)
        with ExitStack() as stack:
            for preparation in self._preparations:
                stack.enter_context(preparation(config))
            self._config = config
        for listener in self._listeners:
            listener(config)
