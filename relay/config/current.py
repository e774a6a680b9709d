"""The configuration of this moment: one for the whole relay, and one way to hear of another."""

from collections.abc import Callable

from relay.config.model import Config

Listener = Callable[[Config], None]


class Current:
    """Holds the configuration. Whoever needs it asks each time, or is told when it is another one."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._listeners: list[Listener] = []

    @property
    def config(self) -> Config:
        """As it is now."""
        return self._config

    def subscribe(self, listener: Listener) -> None:
        """Have this listener told of each new configuration, after those that subscribed before."""
        self._listeners.append(listener)

    def replace(self, config: Config) -> None:
        """Go on by another configuration; it was found good."""
        self._config = config
        for listener in self._listeners:
            listener(config)
