"""Units for systemd, made of those that come with the package for one configuration and one machine."""

import re
from dataclasses import dataclass
from pathlib import Path

from relay.config.fields import join_address, split_address
from relay.config.model import Config

_MARK = "# Written by `relay install`, which writes it anew; changes belong to `systemctl edit`.\n"
_STATE = Path("/var/lib")
# Where the service cannot look: ProtectHome=, PrivateTmp= (systemd.exec(5)).
_HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108 - compared, and nothing is written


@dataclass(frozen=True, slots=True)
class Place:
    """Where things are on the machine on which the service will run."""

    command: Path  # the program `relay`
    config: Path  # relay.toml
    credentials: tuple[str, ...]  # the files beside relay.toml that the service is handed as credentials


def find_streams(config: Config) -> list[str]:
    """What `ListenStream=` says for the listeners (systemd.socket(5)); port 0 is nobody's."""
    addresses = [split_address(one.address) for one in config.listener]
    return list(dict.fromkeys(_say_stream(host, port) for host, port in addresses if port))


def _say_stream(host: str, port: int) -> str:
    # A port alone is [::], which takes IPv4 too; on a machine without IPv6 it is 0.0.0.0.
    return str(port) if host == "::" else join_address(host, port)


def make_socket(unit: str, config: Config) -> str:
    """relay.socket for the ports that the configuration names."""
    lines = "\n".join(f"ListenStream={stream}" for stream in find_streams(config))
    # Of an address that the machine does not have yet when it starts.
    lines += "\nFreeBind=yes"
    unit = re.sub(
        r"(?m)^# systemd opens the ports(?:.*\n#)*.*\n", "# systemd opens the ports, as root.\n", unit
    )
    first, *_ = re.findall(r"(?m)^ListenStream=.*\n", unit)
    unit = unit.replace(first, "@\n", 1)
    return _MARK + re.sub(r"(?m)^ListenStream=.*\n", "", unit).replace("@\n", lines + "\n")


def make_service(unit: str, config: Config, place: Place) -> str:
    """relay.service for this program, this configuration and its state directory."""
    unit = unit.replace("/opt/relay/bin/relay", str(place.command))
    unit = unit.replace("/etc/relay/relay.toml", str(place.config))
    credentials = "".join(
        f"LoadCredential={name}:{place.config.parent / name}\n" for name in place.credentials
    )
    unit = re.sub(r"(?m)^LoadCredential=.*\n", credentials, unit)
    if not find_streams(config):
        unit = re.sub(r"(?m)^(?:# The open ports.*\nSockets|Also)=.*\n", "", unit)
    if config.state_dir.parent == _STATE:
        unit = unit.replace("StateDirectory=relay", f"StateDirectory={config.state_dir.name}")
    else:  # systemd makes only what lies there
        unit = re.sub(r"(?m)^StateDirectory=.*\n", f"ReadWritePaths={config.state_dir}\n", unit)
        unit = re.sub(r"(?m)^StateDirectoryMode=.*\n", "", unit)
    if place.config.parent != Path("/etc/relay"):
        unit = re.sub(r"(?m)^ConfigurationDirectory=.*\n", "", unit)
    return _MARK + unit


def is_hidden(path: Path) -> bool:
    """Whether the service cannot see what lies there, by its own restrictions."""
    return any(path.is_relative_to(folder) for folder in _HIDDEN)
