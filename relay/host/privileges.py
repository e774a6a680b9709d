"""Root's commands give root's rights up before they touch the state directory.

The state directory belongs to the service's user. Whoever has taken the service over can put links and
files there as he likes, and a command that follows them as root does with root's files what he wants. So a
command reads the configuration and its secrets as root, becomes the owner of the state directory for good,
and only then looks into it: nothing there can be more than its owner's.
"""

import os
import pwd
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_MOST_LINKS = 40  # on the way to a file, as the kernel counts them (path_resolution(7))


class PrivilegeError(Exception):
    """The command must not or cannot go on as this user; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Whoever decides what a path leads to."""

    uid: int
    gid: int
    path: Path  # the first thing on the way that is this user's

    def __str__(self) -> str:
        known = _find_user(self.uid)
        return f"{known.pw_name} (uid {self.uid})" if known else f"uid {self.uid}"


def find_owner(path: Path) -> Owner:
    """Whoever decides what this path leads to: the first user on the way that is not root, else root.

    A user who owns a folder on the way can put another thing in the place of what is in it, so the path is
    his from there on. What does not exist yet will belong to the owner of the last folder that does.
    """
    root = Owner(0, 0, path)
    for step, found in _walk(path):
        if found.st_uid != 0 and _is_mapped(found.st_uid):
            return Owner(found.st_uid, found.st_gid, step)
    return root


def become_owner(path: Path) -> None:
    """Become the owner of what this path leads to, for good, if the process is root and the owner is not.

    Groups, group and user are changed, the saved ones too, for every thread; the kernel takes the
    capabilities away with them (capabilities(7)).

    Raises:
        PrivilegeError: it cannot be done, or this program cannot run as that user.
    """
    if os.geteuid() != 0:
        return
    owner = find_owner(path)
    if owner.uid == 0:
        return
    try:
        _change_user(owner)
    except OSError as error:
        raise PrivilegeError(
            f"{owner.path} belongs to {owner}, and root cannot become this user here ({error.strerror}): "
            "run the command as this user"
        ) from None
    if not os.access(owner.path, os.F_OK):
        raise PrivilegeError(
            f"{owner.path} belongs to {owner}, who cannot reach it: a folder above it is closed to him. For "
            "a unit with DynamicUser= this is /var/lib/private; how to move it: relay help systemd"
        )
    # Most of the program is loaded when it is needed, which is later.
    if unreadable := [name for name in (__file__, os.__file__) if not os.access(name, os.R_OK)]:
        raise PrivilegeError(
            f"{owner.path} belongs to {owner}, who cannot read {unreadable[0]}: "
            "install the relay where that user can read it, such as /opt/relay"
        )


def refuse_foreign(path: Path) -> None:
    """Let no service run as root with what belongs to another user.

    Raises:
        PrivilegeError: the process is root, and the path leads to somebody else's.
    """
    if os.geteuid() == 0 and (owner := find_owner(path)).uid != 0:
        raise PrivilegeError(
            f"{owner.path} belongs to {owner}, and root will not work in it: run the relay as this user "
            "(User= of a systemd unit, --user of a container), or name a state_dir of root's"
        )


def _change_user(owner: Owner) -> None:
    known = _find_user(owner.uid)
    gid = known.pw_gid if known else owner.gid
    if known:
        os.initgroups(known.pw_name, gid)
    else:
        os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(owner.uid, owner.uid, owner.uid)
    if os.getresuid() != (owner.uid,) * 3 or os.getresgid() != (gid,) * 3 or _can_be_root():
        # Nothing may go on with rights that it only seems to have given up.
        raise SystemExit("relay: root's rights could not be given up")


def _can_be_root() -> bool:
    try:
        os.setresuid(0, 0, 0)
    except PermissionError:
        return False
    return True


def _find_user(uid: int) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwuid(uid)
    except KeyError:  # a user that has a number only, as in a container
        return None


def _walk(path: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Everything on the way: the folders, the links, what they lead to; as far as it exists."""
    here, links = Path("/"), 0
    yield here, here.lstat()
    left = list(reversed(path.absolute().parts[1:]))
    while left:
        name = left.pop()
        if name == "..":
            here = here.parent
            continue
        try:
            found = (here / name).lstat()
            target = (here / name).readlink() if stat.S_ISLNK(found.st_mode) else None
        except OSError:
            return
        yield here / name, found
        if target is None:
            here = here / name
            continue
        links += 1
        if links > _MOST_LINKS:
            return
        left += reversed(target.parts[1:] if target.is_absolute() else target.parts)
        here = Path("/") if target.is_absolute() else here


def _is_mapped(uid: int) -> bool:
    """Whether this user exists in the process's user namespace (user_namespaces(7)).

    A file of a user that does not shows the overflow user's number; nobody inside can become that user.
    """
    try:
        rows = Path("/proc/self/uid_map").read_text(encoding="ascii").splitlines()
    except OSError:
        return True
    ranges = [(int(inside), int(count)) for inside, _, count in map(str.split, rows)]
    return any(inside <= uid < inside + count for inside, count in ranges)
