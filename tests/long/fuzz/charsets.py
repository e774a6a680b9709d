"""Replace one octet in texts of the charsets that mail declares: little beside it may be wrong.

Run: .venv/bin/python -m tests.long.fuzz.charsets [--draws N] [--seed N]

Held for every draw: what stands before the octet, and behind the next octet of ASCII or the end of the
line, is read as without the damage. About one draw in 300,000 fails: a few octets of EUC-JP that are whole
as Shift_JIS once one of them is another. The reading with the fewest wrong octets is taken there too.
"""

import argparse
import random
import sys
import time

from tests.support.charsets import CHARSETS, Charset, find_wrong, replace_octet


def draw(chance: random.Random) -> tuple[Charset, bytes, int, int]:
    """A charset, octets of a text in it, the place of one of them, and what is to stand there."""
    charset = CHARSETS[chance.choice(sorted(CHARSETS))]
    length = chance.choice([1, 2, 3, 5, 8, 20, 60, 200])
    letters = charset.letters if chance.random() < 0.7 else charset.letters[:-15] or charset.letters
    octets = "".join(chance.choice(letters) for _ in range(length)).encode(charset.codec)
    return charset, octets, chance.randrange(len(octets)), chance.randrange(256)


def run(draws: int, seed: int) -> int:
    """Draw so often; gives the number of draws after which something was wrong that must not be."""
    chance = random.Random(seed)
    failed = 0
    for number in range(draws):
        charset, octets, at, octet = draw(chance)
        broken, begin, end = replace_octet(octets, at, octet)
        if wrong := find_wrong(octets, broken, begin, end, charset):
            failed += 1
            print(f"{number}: {charset.label}, {at} is {octet:#x} in {octets!r}: {wrong}")
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draws", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    begin = time.monotonic()
    failed = run(arguments.draws, arguments.seed)
    print(f"{arguments.draws:,} draws, {failed} wrong, {time.monotonic() - begin:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
