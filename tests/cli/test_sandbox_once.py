"""The whole way, by the command a newcomer types first."""

import json
import subprocess

from tests.support import warm


def test_once_sends_a_sample_scan_through_everything(tmp_path):
    """SMTP, spool, OAuth and HTTP: what Works was given is on standard output, and nothing else is."""
    done = subprocess.run(
        [*warm.relay(), "sandbox", "--once", "--state-dir", tmp_path],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    request = json.loads(done.stdout)
    assert request["to"] == "yamada@example.com"
    assert request["cc"] == "soumu@example.com"
    assert request["bcc"] == "archive@example.com"
    assert request["subject"] == "スキャン文書の送信（３階 複合機）"
    assert request["userName"] == "複合機３階"
    image, pdf = request["attachments"]
    assert f"cid:{image['cid']}" in request["body"]
    assert (image["inline"], image["fileType"]) == (True, "image/png")
    assert pdf["filename"] == "スキャン文書_2026年11月.pdf"
    assert "relayed, id=" in done.stderr
