"""Builds everything, starts and stops it in order, and runs it until it is told to stop."""

from relay.service.running import run, serve
from relay.service.service import Service

__all__ = ["Service", "run", "serve"]
