"""docs/deploy: a container without rights, and a compose file that says the same."""

import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml

from relay.config.fields import split_address
from relay.config.load import build
from relay.config.model import Config, Console

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "docs" / "deploy"
KNOWN = {"FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "VOLUME", "EXPOSE", "HEALTHCHECK"}
KNOWN |= {"STOPSIGNAL", "ENTRYPOINT", "CMD"}


def read_stages():
    """The instructions of each stage: (name, arguments)."""
    text = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
    lines = re.sub(r"(?m)^\s*#.*\n", "", text).replace("\\\n", " ").splitlines()
    stages = []
    for name, _, arguments in (line.partition(" ") for line in lines if line.strip()):
        assert name in KNOWN, name
        if name == "FROM":
            stages.append([])
        stages[-1].append((name, " ".join(arguments.split())))
    return stages


STAGES = read_stages()


def find(name):
    """The arguments of an instruction that the last stage has once."""
    (found,) = [arguments for one, arguments in STAGES[-1] if one == name]
    return found


@pytest.fixture
def service():
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))["services"]["relay"]


def test_everything_that_the_build_takes_is_there():
    """And everything that a wheel is made of is taken."""
    taken = {word for name, arguments in STAGES[0] if name == "COPY" for word in arguments.split()[:-1]}
    assert all((ROOT / path).exists() for path in taken), taken
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = [*wheel["packages"], *wheel["shared-data"], project["project"]["readme"], "LICENSE"]
    for path in needed:
        assert any(Path(path).is_relative_to(one) for one in taken), path


def test_the_libraries_are_those_that_were_tested():
    """A build of another day must not have other ones."""
    runs = " ".join(arguments for name, arguments in STAGES[0] if name == "RUN")
    assert "--require-hashes -r systemd/requirements.txt" in runs
    assert "--no-deps --no-build-isolation ." in runs
    assert len({arguments.split()[0] for stage in STAGES for name, arguments in stage if name == "FROM"}) == 1


def test_the_image_runs_without_rights():
    user, _, group = find("USER").partition(":")
    assert (user.isdecimal(), group) == (True, user)  # numeric: a cluster can see that it is not root
    assert int(user) > 0
    runs = " ".join(arguments for name, arguments in STAGES[-1] if name == "RUN")
    assert f"--uid {user} " in runs
    state_dir = str(Config().state_dir)
    assert find("VOLUME") == state_dir
    assert f"install -d -m 700 -o relay -g relay {state_dir}" in runs
    assert json.loads(find("ENTRYPOINT")) == ["relay"]
    assert json.loads(find("CMD")) == ["serve"]


def test_compose_takes_no_right_back(service):
    assert service["user"] == find("USER")
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert "privileged" not in service
    assert "no-new-privileges:true" in service["security_opt"]
    assert any(one.endswith(f":{find('VOLUME')}") for one in service["volumes"])
    assert "./relay.toml:/etc/relay/relay.toml:ro" in service["volumes"]


def test_health_is_asked_for_in_the_same_way(service):
    options, _, command = find("HEALTHCHECK").partition(" CMD ")
    asked = service["healthcheck"]
    assert ["CMD", *json.loads(command)] == asked["test"]
    said = dict(re.findall(r"--([\w-]+)=(\S+)", options))
    assert said == {name.replace("_", "-"): asked[name] for name in ("interval", "timeout", "start_period")}
    port = split_address(Console().address)[1]
    assert f"127.0.0.1:{port}/healthz" in command
    compile(json.loads(command)[-1], "healthcheck", "exec")


def test_the_ports_are_those_of_the_documented_configuration(service):
    page = (ROOT / "docs" / "containers.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"^```toml\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    inside = {int(port.rpartition(":")[2]) for port in service["ports"]}
    assert inside == {int(port) for port in find("EXPOSE").split()}
    environment = {name: value for name, value in service["environment"].items() if "SECRET" not in name}
    config = build(tomllib.loads(text), environment)
    addresses = [split_address(config.listener[0].address), split_address(config.console.address)]
    assert addresses == [("0.0.0.0", port) for port in sorted(inside)]
    # The console is for this machine alone.
    assert any(re.fullmatch(r"127\.0\.0\.1:\d+:8580", port) for port in service["ports"])


def test_the_secret_comes_as_a_file(service):
    described = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    (name,) = service["secrets"]
    assert service["environment"]["RELAY_WORKS__CLIENT_SECRET_FILE"] == f"/run/secrets/{name}"
    assert described["secrets"][name] == {"file": f"./{name}"}
