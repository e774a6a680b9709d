"""docs/monitoring asks for series that there are, by labels and values that they have."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import httpx2 as httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from relay.console.service import open_console
from relay.host import certificate
from relay.outcome import TroubleKind
from tests.support.whole_relay import whole_relay

FOLDER = Path(__file__).parents[2] / "docs" / "monitoring"
RULES = FOLDER / "relay.rules.yml"
PROMETHEUS_OWN = {"instance", "job"}  # labels that Prometheus adds


def rules():
    (group,) = yaml.safe_load(RULES.read_text("utf-8"))["groups"]
    return group["rules"]


def panels():
    return json.loads((FOLDER / "grafana-dashboard.json").read_text("utf-8"))["panels"]


async def read_series(folder):
    """Every series of a relay with a TLS listener: name → labels → values."""
    files = {"certificate_file": str(folder / "c.pem"), "private_key_file": str(folder / "k.pem")}
    certificate.write(certificate.make(["relay.test"], 30), folder / "c.pem", folder / "k.pem")
    sections = {
        "listener": [{"address": "127.0.0.1:0", "tls": "starttls", **files}],
        "console": {"address": "127.0.0.1:0"},
    }
    async with (
        whole_relay(folder / "state", **sections) as relay,
        open_console(relay.service) as server,
        httpx.AsyncClient(trust_env=False) as http,
    ):
        text = (await http.get(f"{server.url}/metrics")).text
    found = {"up": {}}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = found.setdefault(sample.name, {})
            for name, value in sample.labels.items():
                labels.setdefault(name, set()).add(value)
    return found


def check_expression(expression, series):
    names = re.findall(r"\b(?:relay_\w+|up)\b(?!\()", expression)
    assert names, expression
    for name in names:
        assert name in series, f"{name} in {expression}"
    for name, matchers in re.findall(r"\b(relay_\w+)\{([^}]*)\}", expression):
        for label, operator, value in re.findall(r'(\w+)(=~|=)"([^"]*)"', matchers):
            if label in PROMETHEUS_OWN:
                continue
            assert label in series[name], f"{label} in {expression}"
            for one in value.split("|") if operator == "=~" else [value]:
                assert one in series[name][label], f"{one} in {expression}"
    for label in re.findall(r"by \(([\w, ]+)\)", expression):
        for one in label.split(", "):
            assert any(one in series[name] for name in names), f"{one} in {expression}"


async def test_rules_and_dashboard_ask_for_what_there_is(tmp_path):
    """A rule on a series that was renamed never fires, and nobody notices."""
    series = await read_series(tmp_path)
    for rule in rules():
        check_expression(rule["expr"], series)
        shown = " ".join(rule["annotations"].values())
        for label in re.findall(r"\$labels\.(\w+)", shown):
            known = any(label in series[name] for name in re.findall(r"\brelay_\w+", rule["expr"]))
            assert label in PROMETHEUS_OWN or known, label
    for panel in panels():
        for target in panel["targets"]:
            check_expression(target["expr"], series)
            for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
                names = re.findall(r"\brelay_\w+", target["expr"])
                assert any(label in series[name] for name in names), target


def test_every_trouble_has_a_rule():
    """By a series of its own, or by its kind."""
    text = " ".join(rule["expr"] for rule in rules())
    own = {
        TroubleKind.ACCOUNT: "relay_account_held",
        TroubleKind.API: "relay_works_down",
        TroubleKind.GRANT_EXPIRES: "relay_grant_days_left",
        TroubleKind.NO_ROOM: "relay_accepting",
        TroubleKind.CERTIFICATE: "relay_certificate_days_left",
        TroubleKind.WAITING_LONG: "relay_queue_oldest_seconds",
    }
    kinds = re.search(r'kind=~"([^"]*)"', text)[1].split("|")
    for kind in TroubleKind:
        assert (own[kind] in text) if kind in own else (kind.value in kinds), kind


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")
def test_promtool_takes_the_rules():
    subprocess.run(["promtool", "check", "rules", RULES], check=True)
