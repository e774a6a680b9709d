"""`relay learn` where no relay runs."""

import subprocess

from tests.support import warm
from tests.support.doctor import tree


def test_the_command_says_what_it_refuses(tmp_path):
    """And that no relay runs, where none does."""
    import json

    config = tmp_path / "relay.toml"
    lines = [f"{k} = {json.dumps(v)}" for k, v in tree(tmp_path, []).items() if isinstance(v, str)]
    config.write_text("\n".join(lines))
    words = [*warm.relay(), "learn", "192.168.1.0/24", "--config", str(config)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 69
    assert "relay serve" in done.stderr
