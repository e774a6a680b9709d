"""Files are replaced whole or not at all, and nothing is left behind."""

import errno
import os
import resource
import stat
import subprocess
import sys
import threading

import pytest

from relay.host import safeio

OLD, NEW = b"old" * 100_000, b"new" * 200_000


def names(folder):
    return [path.name for path in folder.iterdir()]


def test_a_file_is_made_and_replaced(tmp_path):
    path = tmp_path / "grant.json"
    for content in (OLD, NEW):
        safeio.write_file(path, content)
        assert path.read_bytes() == content
    assert names(tmp_path) == ["grant.json"]


@pytest.mark.parametrize("umask", [0o000, 0o777])
@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_the_mode_is_what_was_asked_for(tmp_path, mode, umask):
    """Neither a wide nor a narrow umask decides who reads a token."""
    before = os.umask(umask)
    try:
        safeio.write_file(tmp_path / "file", b"x", mode)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == mode


def test_a_link_is_replaced_and_not_followed(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(OLD)
    (tmp_path / "file").symlink_to(elsewhere)
    safeio.write_file(tmp_path / "file", NEW)
    assert elsewhere.read_bytes() == OLD
    assert not (tmp_path / "file").is_symlink()


def test_the_content_is_flushed_before_its_name_and_the_folder_after_it(tmp_path, monkeypatch):
    """A rename that reaches the disk before the content leaves an empty file after a power cut."""
    path = tmp_path / "file"
    path.write_bytes(OLD)
    seen = []
    fsync = os.fsync

    def note(fd):
        what = "folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else os.fstat(fd).st_size
        seen.append((what, path.read_bytes()))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", note)
    safeio.write_file(path, NEW)
    assert seen == [(len(NEW), OLD), ("folder", NEW)]


FULL_DISK = """
import os, resource, sys
from pathlib import Path
from relay.host import safeio
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
try:
    safeio.write_file(Path(sys.argv[1]), b"x" * 5000)
except OSError as error:
    print(error.errno, error.filename, error.errno in safeio.DISK_FULL)
"""


def test_on_a_full_disk_the_old_file_stays_and_nothing_else(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(OLD)
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [str(errno.EFBIG), str(path), "True"]
    assert path.read_bytes() == OLD
    assert names(tmp_path) == ["file"]


def test_without_a_descriptor_nothing_is_moved(tmp_path):
    """Moved but not known to be durable is a state that nobody can answer for."""
    source, target = tmp_path / "new", tmp_path / "old"
    source.write_bytes(NEW)
    target.write_bytes(OLD)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = os.open("/dev/null", os.O_RDONLY)
    resource.setrlimit(resource.RLIMIT_NOFILE, (taken, hard))
    try:
        with pytest.raises(OSError, match="Too many open files") as caught:
            safeio.move_file(source, target)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        os.close(taken)
    assert caught.value.errno == errno.EMFILE
    assert (source.read_bytes(), target.read_bytes()) == (NEW, OLD)


@pytest.mark.parametrize("name", ["nowhere/file", "folder"])
def test_an_error_names_the_file_that_was_meant(tmp_path, name):
    (tmp_path / "folder" / "inside").mkdir(parents=True)
    with pytest.raises(OSError, match=name) as caught:
        safeio.write_file(tmp_path / name, b"x")
    assert caught.value.filename == str(tmp_path / name)
    assert names(tmp_path) == ["folder"]


def test_a_reader_never_finds_a_piece(tmp_path):
    """Two writers and a reader at once: the reader finds one content or the other."""
    path = tmp_path / "file"
    safeio.write_file(path, OLD)
    writers = [
        threading.Thread(target=lambda content=content: [safeio.write_file(path, content) for _ in range(20)])
        for content in (OLD, NEW)
    ]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        assert path.read_bytes() in (OLD, NEW)
    for writer in writers:
        writer.join()
    assert names(tmp_path) == ["file"]


def test_a_removed_file_is_gone(tmp_path):
    (tmp_path / "file").write_bytes(OLD)
    safeio.remove_file(tmp_path / "file")
    assert names(tmp_path) == []
    with pytest.raises(FileNotFoundError):
        safeio.remove_file(tmp_path / "file")
