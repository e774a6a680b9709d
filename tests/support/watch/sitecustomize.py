"""Python imports this by itself in every process that the suite starts: secrets_watch.py says what for."""

import os

if "RELAY_SUITE_WATCH" in os.environ:
    import secrets_watch

    secrets_watch.listen()
