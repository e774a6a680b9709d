"""Write the golden messages: python -m tests.golden.compose, then pytest --bless tests/message/test_golden.py."""

from pathlib import Path

from tests.golden import devices, inline, programs, scans, shapes

HERE = Path(__file__).parent


def main() -> None:
    wanted = {}
    for group in (devices.CASES, programs.CASES, shapes.CASES, scans.CASES, inline.CASES):
        assert not wanted.keys() & group.keys()
        wanted |= group
    for path in [*HERE.glob("*.eml"), *HERE.glob("*.json")]:
        if path.stem not in wanted:
            path.unlink()
    for name, message in wanted.items():
        # As a session would have it: every line ends in CRLF.
        octets = message.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        (HERE / f"{name}.eml").write_bytes(octets)
    print(f"{len(wanted)} messages")


if __name__ == "__main__":
    main()
