"""Values of relay.toml that can be read and are hardly meant: each a finding of `relay check`."""

import stat
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from relay.config.model import Config
from relay.config.networks import names_loopback, read_address
from relay.config.reading import read
from relay.operator.findings import Finding, problem, warning

_PLACEHOLDERS = frozenset({"your-client-id", "…", "..."})  # of relay.toml and of the README
# Nobody has a mailbox in these (RFC 2606 §3, RFC 6761 §6.5).
_EXAMPLES = ("example.com", "example.net", "example.org")
_NETWORKS = ("networks", "proxy_networks")


def find_suspicions(config: Config, files: list[Path]) -> Iterator[Finding]:
    """What was probably left in, mistyped, or left open.

    Args:
        config: what `serve` would use.
        files: that it was read from; one that cannot be read any more is left out.
    """
    yield from _find_placeholders(config)
    if "," in config.works.scope:
        words = config.works.scope.replace(",", " ").split()
        yield warning(
            "works.scope",
            f"{config.works.scope!r} has commas, and scopes are separated by spaces",
            f'scope = "{" ".join(words)}"',
        )
    for path in files:
        yield from _find_host_bits(path)
    yield from _find_open_files(config, files)


def _find_placeholders(config: Config) -> Iterator[Finding]:
    if config.works.client_id in _PLACEHOLDERS:
        yield problem(
            "works.client_id",
            f"{config.works.client_id!r} is the example's",
            "copy it from the app's page in the Works Developer Console: relay help start",
        )
    if names_loopback(urlsplit(config.works.api_url).hostname or ""):
        return  # simulated
    for account in config.account:
        domain = account.address.rpartition("@")[2].lower()
        if domain.endswith(_EXAMPLES):
            yield warning(
                f"account {account.name}",
                f"{account.address} is an example: nobody has a mailbox there",
                "write the address of the mailbox that consents",
                account.name,
            )


def _find_host_bits(path: Path) -> Iterator[Finding]:
    """Networks that are written as an address of theirs: one device may be meant, or all of them."""
    try:
        tree: dict[str, Any] = read(path).tree or {}
    except OSError:
        return  # root has read it; the owner of state_dir, who looks now, may not
    for row in tree.get("listener", ()):
        for text in (text for key in _NETWORKS for text in row.get(key, ())):
            network = ip_network(text, strict=False)
            address = text.partition("/")[0]
            if str(network.network_address) != str(read_address(address) or address):
                yield warning(
                    f"listener {row.get('address', '')}".rstrip(),
                    f"{text} lets in all of {network}",
                    f'for one device write "{address}", for all of them "{network}"',
                )


def _find_open_files(config: Config, files: list[Path]) -> Iterator[Finding]:
    """Files with secrets that every user of this machine can read."""
    keys = [one.private_key_file or one.certificate_file for one in config.listener]
    keys.append(config.console.private_key_file or config.console.certificate_file)
    beside = [path.parent / "client_secret" for path in files[:1]]
    for path in sorted({Path(key) for key in keys if key} | set(beside)):
        try:
            mode = path.stat().st_mode
        except OSError:
            continue
        if mode & stat.S_IROTH:
            yield warning("secrets", f"{path} can be read by every user of this machine", f"chmod o-r {path}")
