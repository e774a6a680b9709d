"""What was on stable storage when the 250 left? The order of system calls, as strace saw them.

    python -m tests.long.crash.order --messages 1000

For each message: the row's page is written to the log of the database and that log is flushed, and for a
large one its file is flushed, renamed and the directory flushed before that, all of it before the first
octet of "250" with its queue id leaves. SIGKILL alone cannot show this: the kernel keeps what a dead
process has written. Exit code 1 if any 250 left too early.
"""

import argparse
import asyncio
import re
import shutil
import sys
import tempfile
from pathlib import Path

from relay.spool.ids import Ids
from tests.long.crash.harness import Client, Ledger, Relay, compose, finish, say, works

_CALLS = "fsync,fdatasync,rename,renameat,renameat2,pwrite64,write,writev,sendto,sendmsg"
_LINE = re.compile(r"^(\d+) +(.*)$")
_ID = re.compile(r"250 2\.0\.0 \w+, id=([0-9A-Z]+)")
# As long as relay.spool.ids makes them: in a page nothing stands between an id and what follows it.
_QUEUE_ID = re.compile(rf"1[0-9A-HJKMNP-TV-Z]{{{len(Ids().make()) - 1}}}")
WRONG = ("row_not_flushed", "file_not_flushed", "not_found")


def completed_calls(lines):
    """Each call at the place where it returned, put together where strace tore it apart."""
    torn = {}
    for line in lines:
        found = _LINE.match(line)
        if not found:
            continue
        thread, text = found.groups()
        if text.endswith("<unfinished ...>"):
            torn[thread] = text.removesuffix("<unfinished ...>")
            # What is sent may be at the client before the call returns: it counts from its beginning.
            if text.startswith(("write", "send")):
                yield text
        elif text.startswith("<... "):
            whole = torn.pop(thread, "") + text.partition("resumed>")[2]
            if not whole.startswith(("write", "send")):
                yield whole
        else:
            yield text


class Watch:
    """The state of stable storage, call by call."""

    def __init__(self, content):
        self._content = content
        self._in_log, self.rows = set(), set()  # queue ids written to the log; flushed with it
        self._flushed_files, self._placed, self.files = set(), set(), set()
        self.answers = []  # (queue id, row flushed, file flushed)

    def see(self, call):
        name = call.partition("(")[0]
        if name == "pwrite64" and "spool.db-wal" in call:
            self._in_log.update(_QUEUE_ID.findall(call))
        elif name in ("fsync", "fdatasync") and call.endswith("= 0"):
            self._flush(call)
        elif name.startswith("rename"):
            source, target = re.findall(r'"([^"]+)"', call)[:2]
            if source in self._flushed_files:
                self._placed.add(target.rpartition("/")[2])
        elif name in ("write", "writev", "sendto", "sendmsg"):
            for queue_id in _ID.findall(call):
                self.answers.append((queue_id, queue_id in self.rows, queue_id in self.files))

    def _flush(self, call):
        path = call.partition("<")[2].partition(">")[0]
        if path.endswith("spool.db-wal"):
            self.rows |= self._in_log
        elif path == str(self._content):
            self.files |= self._placed
        elif Path(path).parent == self._content:
            self._placed.add(Path(path).name)  # written there, out of memory
        else:
            self._flushed_files.add(path)


async def run(options, folder):
    ledger, trace = Ledger(), folder / "trace"
    async with works() as (sandbox, url):
        relay = Relay(folder, url)
        relay.grant(sandbox)
        relay.start(["strace", "-f", "-y", "-qq", "-s", "4200", "-o", str(trace), "-e", f"trace={_CALLS}"])
        await relay.listening(60)
        numbers = iter(range(1, options.messages + 1))

        async def work():
            client = Client(relay)
            for number in numbers:
                kind = "large" if number % 5 == 0 else "small"
                ledger.enter(number, *await client.insist(number, compose(number, kind)))

        await asyncio.gather(*(work() for _ in range(options.connections)))
        await relay.stop()
    say(f"reading {trace.stat().st_size // 1_000_000} MB of system calls")
    watch = Watch(relay.state / "spool" / "content")
    with trace.open(errors="replace") as lines:
        for call in completed_calls(line.rstrip("\n") for line in lines):
            watch.see(call)
    large = {
        reply.partition("id=")[2].strip() for number, reply in ledger.accepted.items() if number % 5 == 0
    }
    seen = {queue_id for queue_id, _, _ in watch.answers}
    result = {
        "accepted": len(ledger.accepted),
        "of_them_with_a_file": len(large),
        "row_flushed_before_the_250": sum(row for _, row, _ in watch.answers),
        "file_and_directory_flushed_before_the_250": sum(f for one, _, f in watch.answers if one in large),
        "row_not_flushed": sum(not row for _, row, _ in watch.answers),
        "file_not_flushed": sum(not f for one, _, f in watch.answers if one in large),
        "not_found": len(ledger.accepted) - len(seen),
    }
    return finish(result, WRONG, as_json=options.json)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--messages", type=int, default=1000)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if shutil.which("strace") is None:
        sys.exit("strace is needed")
    with tempfile.TemporaryDirectory(prefix="relay-order-") as folder:
        return asyncio.run(run(options, Path(folder)))


if __name__ == "__main__":
    sys.exit(main())
