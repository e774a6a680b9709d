"""What the doctor says of devices that cannot send: the list in its page is what it really prints."""

from tests.support import lists


def test_the_list_of_devices_is_what_the_doctor_says(tmp_path):
    """Real dialogues with a running relay, one of each mistake: the page cannot go stale.

    After a change of a sentence: python -m tests.support.lists, and read each as the device's owner.
    """
    assert lists.list_devices(tmp_path) == lists.read("doctor.md", "devices")
