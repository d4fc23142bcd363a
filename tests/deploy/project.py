"""What the code says of itself, read from its sources: names that files in deploy/ may rely on."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def read(path):
    return (ROOT / path).read_text(encoding="utf-8")


def found(pattern, path):
    """All matches. None at all means that the file has changed its form, and what reads it here must."""
    matches = re.findall(pattern, read(path), re.MULTILINE)
    if not matches:
        raise SystemExit(f"{path} has nothing of the form {pattern}")
    return matches


def variables():
    """Every variable of the environment that kabar reads."""
    table = "shared/settings/src/table.rs"
    keys = found(r'^    row\("([a-z_.]+)"', table)
    common = {"KABAR_" + key.upper().replace(".", "_") for key in keys}
    return common | set(found(r'\.or\("([A-Z_]+)"\)', table)) | {"KABAR_CONFIG"}


def metrics():
    """Every metric with its kind and labels."""
    names = "shared/telemetry/src/names.rs"
    fields = dict(found(r'^        ([A-Z_]+) = "([a-z_]+)";', names))
    declared = found(r'^    (Counter|Gauge|Histogram) [A-Z_]+ = "(kabar_[a-z_]+)", \w+, \[([A-Z_, ]*)\]', names)
    return {name: (kind, {fields[label] for label in labels.split(", ") if label}) for kind, name, labels in declared}


def workers():
    return set(found(r'Self::\w+ => "([a-z]+)",$', "workers/src/fleet.rs"))


def commands():
    listed = read("workers/src/cli/mod.rs").split("enum Command {")[1].split("}")[0]
    return {name.lower() for name in re.findall(r"^    ([A-Z]\w+)\(", listed, re.MULTILINE)}


def routes():
    """The paths that a gateway answers."""
    return set(found(r'\.route\("([^"]+)"', "workers/src/gateway/mod.rs"))


def setting(key):
    """A setting's default."""
    section, name = key.split(".")
    return tomllib.loads(read("shared/settings/defaults.toml"))[section][name]


def seconds(text):
    """A duration such as 25s, 10m or 1m30s."""
    units = {"s": 1, "m": 60, "h": 3600}
    return sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+)([smh])", str(text)))
