"""The exposure of relay.service by systemd's own measure: `systemd-analyze security --offline=true`."""

import re
import subprocess

from tests.long.security.harness import main
from tests.support import ROOT

UNIT = ROOT / "systemd" / "relay.service"


def measure(*, short=False):
    del short  # it takes no time
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(UNIT)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    exposure = float(re.search(r"exposure level for relay.service: ([\d.]+)", done.stdout)[1])
    version = subprocess.run(["systemd-analyze", "--version"], capture_output=True, text=True, check=False)
    open_points = [" ".join(x.split()[1:2]) for x in done.stdout.splitlines() if x.startswith("✗")]
    return {
        "exposure": exposure,
        "left open": open_points,
        "systemd": version.stdout.split()[1],
        "reached": exposure <= 1.2,
    }


if __name__ == "__main__":
    main(measure, __doc__)
