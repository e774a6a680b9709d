"""What tests of several rooms share. This module imports nothing of the relay, as the watch begins first."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
