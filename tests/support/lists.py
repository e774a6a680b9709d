"""The lists in the pages that are made of what the relay really prints, so that they stay true.

    .venv/bin/python -m tests.support.lists        write them anew

Each stands between two marks. tests/devices/test_list.py and tests/config/test_mistakes.py hold that they
are current.
"""

import asyncio
import re
import tempfile
import textwrap
from pathlib import Path
from unittest.mock import patch

from relay.cli.doctor import _explain, _verdict
from relay.config.load import ConfigError, load
from relay.operator import calling
from relay.operator.suspicions import find_suspicions
from relay.smtp import listener
from tests.support.doctor import running
from tests.support.mistakes import BASE, MISTAKES, MORE, SUSPICIOUS
from tests.support.troubled_devices import DEVICES, PORTS, Device, make_listeners, make_users

DOCS = Path(__file__).parents[2] / "docs"
_PATIENCE = 60.0  # seconds
_MARKS = ("<!-- made by tests.support.lists: {name} -->\n", "<!-- end of {name} -->\n")


def read(page, name):
    """A page's list as it stands there."""
    return _split(page, name)[1]


def write(page, name, text):
    before, _, after = _split(page, name)
    (DOCS / page).write_text(before + text + after, encoding="utf-8")


def _split(page, name):
    begin, end = (mark.format(name=name) for mark in _MARKS)
    before, rest = (DOCS / page).read_text(encoding="utf-8").split(begin)
    text, after = rest.split(end)
    return before + begin, text, end + after


async def ask_doctor(folder):
    """What the doctor prints of each device, by what it does wrong; and of one that never came."""
    listeners = make_listeners(folder)
    with patch.object(listener, "_FIRST_OCTETS", 0.5):  # seconds, in place of ten
        async with running(
            folder / "state", *listeners, user=make_users(), limits={"login_failures": 2, "login_delay": "0s"}
        ) as service:
            path = service.config.state_dir / "control.sock"
            ports = dict(zip(PORTS, (port for _, port in service.server.addresses), strict=True))
            said = {"It was never heard of": await _ask(path, "127.0.9.9")}

            async def play(number, where, dialogue):
                if where == "learned":
                    where = "closed"
                    await calling.call(path, "learn", network=f"127.0.1.{number}/32", seconds=60.0)
                device = Device(f"127.0.1.{number}", ports[where], str(folder / "expired.pem"))
                await asyncio.to_thread(dialogue, device)
                return await _ask(path, device.source, until_over=True)

            plays = [play(number, *device) for number, device in enumerate(DEVICES.values(), 1)]
            said |= dict(zip(DEVICES, await asyncio.gather(*plays), strict=True))
            return {name: _as_elsewhere(lines, ports) for name, lines in said.items()}


async def _ask(path, source, *, until_over=False):
    async with asyncio.timeout(_PATIENCE):
        while True:
            answer = await calling.call(path, "doctor", address=source)
            if not until_over or _is_over(answer["clients"]):
                return _print(answer, source)
            await asyncio.sleep(0.02)


def _is_over(clients):
    return (
        bool(clients)
        and clients[0]["last"]["ended"]
        and all(mail["state"] == "held" for mail in clients[0]["last"]["mail"])
    )


def _print(answer, source):
    """The lines above the transcript."""
    lines = []
    with patch("relay.cli.doctor.echo", lambda text="", **_: lines.append(text)):
        _explain(answer, source)
    return lines[: len(list(_verdict(answer["clients"][0])))] if answer["clients"] else lines


def _as_elsewhere(lines, ports):
    """With an administrator's ports and addresses, and no times and ids of this run."""
    text = "<br>".join(lines)
    text = re.sub(r"/\S+/(good|expired)\.pem", "/etc/relay/relay-certificate.pem", text)
    for name, port in ports.items():
        text = text.replace(f"127.0.0.1:{port}", f"0.0.0.0:{PORTS[name]}").replace(
            str(port), str(PORTS[name])
        )
    text = re.sub(r"127\.0\.[19]\.(\d+)(/24)?", lambda m: f"192.168.1.{0 if m[2] else 50}{m[2] or ''}", text)
    text = re.sub(r"since [^.]*?\. The", "since 2026-04-01 09:00 JST. The", text)
    return re.sub(r"taken as \w+|relay trace \w+", lambda m: f"{m[0].rpartition(' ')[0]} 1M8KQ2WZ", text)


def list_devices(folder):
    said = asyncio.run(ask_doctor(folder))
    rows = [f"| {name} | {text} |\n" for name, text in said.items()]
    return "".join(("| the device | `relay doctor 192.168.1.50` says |\n", "|---|---|\n", *rows))


def list_mistakes(folder):
    """Each mistake by its name, and all that is printed of it."""
    told = []
    for name, text in ({name: text for name, (text, _) in MISTAKES.items()} | MORE).items():
        path = folder / "relay.toml"
        path.write_text(BASE + text, encoding="utf-8")
        try:
            load(path, {}, learned=False)
        except ConfigError as error:
            told.append(f"{name}\n{_indent(str(error), path)}\n")
        else:
            raise AssertionError(name)
    return "\n".join(("```text", *told)) + "```\n"


def list_suspicions(folder):
    """What is asked about each, as `relay check` prints it."""
    told = []
    for name, text in SUSPICIOUS.items():
        path = folder / "relay.toml"
        path.write_text(text, encoding="utf-8")
        found = [
            f"{one.subject}: {one.text}\n→ {one.remedy}" for one in find_suspicions(load(path, {}), [path])
        ]
        told.append(f"{name}\n{_indent(chr(10).join(found), path)}\n")
    return "\n".join(("```text", *told)) + "```\n"


def _indent(text, path):
    return textwrap.indent(text.replace(str(path), "relay.toml"), "    ")


def write_all():
    with tempfile.TemporaryDirectory() as folder:
        write("mistakes.md", "mistakes", list_mistakes(Path(folder)))
        write("mistakes.md", "suspicions", list_suspicions(Path(folder)))
        write("doctor.md", "devices", list_devices(Path(folder)))


if __name__ == "__main__":
    write_all()
