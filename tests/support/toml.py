"""A configuration as a file has it."""

import json


def to_toml(tree):
    lines = [f"{key} = {json.dumps(value)}" for key, value in tree.items() if not _is_table(value)]
    for key, value in tree.items():
        if isinstance(value, dict):
            lines += [f"[{key}]", to_toml(value)]
        elif _is_table(value):
            for row in value:
                lines += [f"[[{key}]]", to_toml(row)]
    return "\n".join(lines) + "\n"


def _is_table(value):
    return isinstance(value, dict) or (isinstance(value, list) and any(isinstance(x, dict) for x in value))
