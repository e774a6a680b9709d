"""learned.toml, which the relay changes and a person may edit."""

import pytest

from relay.config.current import Current
from relay.config.load import build
from relay.config.model import Device
from relay.devices.adopted import Adopted, CannotAdopt, remove
from relay.host.documents import FileDocuments

DEVICE = Device(address="192.168.1.50", note="MFP")
OTHER = Device(address="192.168.1.51")


@pytest.fixture
def file(tmp_path):
    return tmp_path / "learned.toml"


def open_there(tmp_path, *devices):
    """With these devices in the configuration, as the file has made them."""
    current = Current(build({"state_dir": str(tmp_path)}, {}).model_copy(update={"device": devices}))
    return Adopted(FileDocuments(tmp_path), current), current


async def test_what_a_person_has_edited_stays(tmp_path, file):
    """A comment, an octet that is no UTF-8, and a device that was taken out."""
    adopted, current = open_there(tmp_path)
    await adopted.add(DEVICE)
    await adopted.add(OTHER)
    file.write_bytes(b"# b\xfcro\n" + file.read_bytes().replace(b'"MFP"', b'"Copier"'))
    await adopted.forget(OTHER.address)
    assert file.read_bytes().startswith(b"# b\xfcro\n")
    assert [(one.address, one.note) for one in current.config.device] == [("192.168.1.50", "Copier")]
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", ["[[device]]\naddress = ", "device"])
async def test_a_file_that_is_not_toml_is_left_alone(tmp_path, file, text):
    """What stands in it is in force until the next reload says what is wrong."""
    adopted, current = open_there(tmp_path, OTHER)
    file.write_text(text)
    with pytest.raises(CannotAdopt, match="is not TOML"):
        await adopted.add(DEVICE)
    assert (file.read_text(), current.config.device) == (text, (OTHER,))


async def test_a_device_is_not_adopted_where_that_cannot_be_written(tmp_path):
    adopted, current = open_there(tmp_path / "nowhere")
    with pytest.raises(CannotAdopt, match=r"cannot be written .*; nothing was changed"):
        await adopted.add(DEVICE)
    assert current.config.device == ()


async def test_a_device_of_relay_toml_is_not_forgotten(tmp_path):
    adopted, current = open_there(tmp_path, OTHER)
    await adopted.add(DEVICE)
    with pytest.raises(CannotAdopt, match=r"take it out of relay\.toml"):
        await adopted.forget(OTHER.address)
    assert current.config.device == (OTHER, DEVICE)


def test_a_comment_outlives_the_device_that_stands_before_it():
    """It may be about the next one."""
    first, second = (
        "[[device]]\naddress = '192.168.1.50'\n",
        "# the hall's\n[[device]]\naddress = '192.168.1.51'\n",
    )
    assert remove(first + second, "192.168.1.50") == second
