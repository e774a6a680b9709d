"""The figures on a terminal: the matrix, and the table of what the relay is to reach."""

from tests.long.bench.messages import KB, MB
from tests.long.bench.systems import DISCARD, NAMES, RELAY, STRAIGHTFORWARD


def matrix(cells):
    lines = [f"{'':>11} {'conn':>4}  " + "".join(f"{n:>26}" for n in NAMES) + "   relay/(a)  relay/(b)"]
    for cell in cells:
        figures = cell["figures"]
        texts = [_rate(cell["size"], figures.get(name)) for name in NAMES]
        ratios = [_ratio(figures, name) for name in (DISCARD, STRAIGHTFORWARD)]
        lines.append(
            f"{cell['name']:>11} {cell['connections']:>4}  "
            + "".join(f"{text:>26}" for text in texts)
            + "".join(f"{ratio:>11}" for ratio in ratios)
        )
    return lines


def _rate(size, figures):
    if figures is None:
        return "left out"
    rate = figures["rate"]
    share = 100 * rate["spread"] / rate["median"]
    if size < MB:
        return f"{rate['median']:,.0f} msg/s ± {share:.0f} %"
    return f"{figures['mb_per_second']:,.0f} MB/s ± {share:.0f} %"


def _ratio(figures, name):
    if name not in figures:
        return "-"
    return f"{figures[RELAY]['rate']['median'] / figures[name]['rate']['median']:.2f}"


def cpu(result):
    lines = []
    for label, key in (("1,000 messages of 2 KB", "small"), ("100 MB of scans", "scans")):
        figures = {name: result["cpu"][key][name] for name in NAMES}
        share = figures[RELAY] / figures[STRAIGHTFORWARD]
        texts = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in figures.items())
        lines.append(f"CPU for {label}: {texts}; relay / straightforward {share:.3f}")
    return lines


def rows(result):
    """What is measured, what it is to reach, and what was reached."""
    by = {(c["size"], c["connections"]): c["figures"] for c in result["matrix"]}
    found = []
    if four := by.get((18 * MB, 4)):
        speed = {name: figures["mb_per_second"] for name, figures in four.items()}
        goal = max(10 * speed[STRAIGHTFORWARD], 5 * speed[DISCARD])
        found.append(("18 MB × 4, MB/s", f">= {goal:.0f}", f"{speed[RELAY]:.0f}"))
    if one := by.get((18 * MB, 1)):
        found.append(
            (
                "18 MB × 1, MAIL to verdict, p50 ms",
                f"<= {one[STRAIGHTFORWARD]['p50'] * 1e3 / 7:.0f}",
                _ms(one[RELAY]["p50"]),
            )
        )
    if many := by.get((2 * KB, 20)):
        rate = {name: figures["rate"]["median"] for name, figures in many.items()}
        goal = max(0.6 * rate[DISCARD], 3 * rate[STRAIGHTFORWARD])
        found.append(("2 KB × 20, msg/s", f">= {goal:.0f}", f"{rate[RELAY]:.0f}"))
    kinds = (
        (by.get((100 * KB, 20)), "100 KB × 20", 3.0),
        (result["pages"][0]["figures"], "100 KB html × 4", 2.2),
    )
    for figures, name, times in kinds:
        if figures:
            rate = {one: figures[one]["rate"]["median"] for one in (STRAIGHTFORWARD, RELAY)}
            goal = f">= {times * rate[STRAIGHTFORWARD]:.0f}"
            found.append((f"{name}, msg/s", goal, f"{rate[RELAY]:.0f}"))
    scans = result["cpu"]["scans"]
    found.append(
        ("CPU for 100 MB of scans, s", f"<= {scans[STRAIGHTFORWARD] / 8:.2f}", f"{scans[RELAY]:.2f}")
    )
    for connections, most in ((4, 100), (20, 140)):
        if memory := result["memory"].get(f"{RELAY} {connections}"):
            text = f"{_mb(memory['peak'])} (RSS {_mb(memory['resident'])})"
            found.append((f"peak memory, {connections} × 18 MB, MB", f"<= {most}", text))
    idle = result["memory"][f"{RELAY} 4"]
    text = f"{_mb(idle['idle'])} (RSS {_mb(idle['idle_resident'])})"
    found.append(("idle, with the converting process, MB", "<= 90", text))
    late = result["latency"][RELAY]
    other = result["latency"][STRAIGHTFORWARD]
    text = (
        f"{_ms(late['p50'])} / {_ms(late['p99'])} (straightforward {_ms(other['p50'])} / {_ms(other['p99'])};"
        f" the API's own {_ms(late['own'])})"
    )
    found.append(("added latency p50 / p99, ms", "<= 4 / 12", text))
    lag = result["lag"][RELAY]
    found.append(
        (
            "NOOP while 4 × 25 MB pass, p99.9 ms",
            "<= 25",
            f"{_ms(lag['p999'])} of {lag['count']}, max {_ms(lag['max'])}",
        )
    )
    for label, goal in (
        ("25 MB of empty lines", "<= 1 s, 10 MB"),
        ("300 MB without a line end", "<= 1 s, 2 MB"),
    ):
        one = result["hostile"][label]
        found.append((label, goal, f"{one['cpu']:.2f} s, {_mb(one['memory'])} MB, {one['reply']}"))
    conversion = result["conversion"]
    text = f"{_ms(conversion['convert']['median'])} (with the body {_ms(conversion['with_body']['median'])})"
    found.append(("conversion of 25 MB, ms", "<= 60", text))
    found.append(("  its memory over the map, MB", "<= 8", _mb(conversion["memory"]["median"])))
    found.append(("relay --help, s", "<= 0.25", f"{result['start']['help']['median']:.2f}"))
    found.append(("relay serve until it listens, s", "<= 0.8", f"{result['start']['serve']['median']:.2f}"))
    return found


def table(result):
    return [f"{what:<38} {goal:>16}   {reached}" for what, goal, reached in rows(result)]


def _ms(seconds):
    return f"{seconds * 1e3:.1f}"


def _mb(octets):
    return f"{octets / MB:.1f}"
