"""Whether deploy/ speaks of this version: its variables, commands, workers, metrics, paths and deadlines; and whether
its parts agree with each other. Prints what does not hold, and fails if anything did not.
"""

import ast
import json
import re
import sys

import hcl2
import jsonschema
import yaml

import project
from project import ROOT, found, read

DEPLOY = ROOT / "deploy"
problems = []


def expect(holds, where, what):
    if not holds:
        problems.append(f"{where}: {what}")


def documents(path):
    """The objects of a YAML file."""
    return [one for one in yaml.safe_load_all(read(path)) if one]


def manifests():
    """Every Kubernetes object, with its file."""
    for path in sorted((DEPLOY / "kubernetes").glob("*.yaml")):
        for one in documents(path.relative_to(ROOT)):
            yield path.name, one


def processes():
    """Every process that is described: where, its command line, how many seconds it may take to stop."""
    for name, service in documents("deploy/compose.yaml")[0]["services"].items():
        if str(service["image"]).startswith("kabar:"):
            grace = project.seconds(service["stop_grace_period"])
            yield f"compose.yaml, {name}", service["command"], grace
    for file, one in manifests():
        if one["kind"] == "Deployment":
            pod = one["spec"]["template"]["spec"]
            container = pod["containers"][0]
            first = container.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", ["sleep", "0"])
            yield file, container["args"], pod["terminationGracePeriodSeconds"] - int(first[1])


def names():
    """Words in all files that look like a variable, a metric or a command of kabar's."""
    variables, metrics, commands = project.variables(), project.metrics(), project.commands()
    for path in sorted(DEPLOY.rglob("*")):
        if not path.is_file() or path.suffix == ".pyc" or path.name == ".env":
            continue
        where, text = path.relative_to(ROOT), path.read_text(encoding="utf-8")
        for name in set(re.findall(r"\b(?:KABAR|WHATSAPP)_[A-Z_]*[A-Z]\b", text)):
            expect(name in variables, where, f"kabar reads no variable {name}")
        for name in set(re.findall(r"\bkabar_[a-z_]+\b", text)) - {"kabar_default"}:
            base = re.sub(r"_(bucket|sum|count)$", "", name)
            known = name in metrics or metrics.get(base, ("",))[0] == "Histogram"
            expect(known, where, f"there is no metric {name}")
        for name in set(re.findall(r"(?:`|^\s*(?:sudo -u kabar )?|-- |exec \w+ )kabar ([a-z]+)", text, re.MULTILINE)):
            expect(name in commands, where, f"there is no command `kabar {name}`")


def fleet():
    """All workers run somewhere, each beside a gateway, with time to stop."""
    deadline = project.seconds(project.setting("fleet.shutdown_deadline"))
    running = {"compose": set(), "kubernetes": set()}
    for where, command, grace in processes():
        expect(command[0] in project.commands(), where, f"there is no command {command[0]}")
        expect(grace > deadline, where, f"{grace} s are too few to stop in: fleet.shutdown_deadline is {deadline} s")
        if command[0] == "run":
            only = set(command[command.index("--only") + 1].split(","))
            running["compose" if where.startswith("compose") else "kubernetes"] |= only
            expect(only <= project.workers(), where, f"no workers: {only - project.workers()}")
            expect("gateway" in only, where, "without a gateway it has neither probes nor metrics")
    for where, workers in running.items():
        expect(workers == project.workers(), where, f"nobody runs {project.workers() - workers}")
    grace = project.seconds(found(r"^TimeoutStopSec=(.*)$", "deploy/systemd/kabar.service")[0])
    expect(grace > deadline, "kabar.service", "TimeoutStopSec is not above fleet.shutdown_deadline")


def kubernetes():
    """What schemas cannot say of the manifests."""
    listed = set(documents("deploy/kubernetes/kustomization.yaml")[0]["resources"])
    there = {path.name for path in (DEPLOY / "kubernetes").glob("*.yaml")} - {"kustomization.yaml"}
    expect(listed == {name for name in there if ".example." not in name}, "kustomization.yaml", "lists other files")
    user = found(r"^USER (\d+):\1$", "deploy/Dockerfile")[0]
    settings = {"ConfigMap": "data", "Secret": "stringData"}
    for file, one in manifests():
        for name in one.get(settings.get(one["kind"]), {}):
            expect(name in project.variables(), file, f"kabar reads no variable {name}")
        if one["kind"] not in ("Deployment", "Job"):
            continue
        pod = one["spec"]["template"]["spec"]
        container = pod["containers"][0]
        expect(str(pod["securityContext"]["runAsUser"]) == user, file, f"the image's user is {user}")
        expect(container["securityContext"]["readOnlyRootFilesystem"], file, "its file system can be written")
        expect("cpu" not in container["resources"]["limits"], file, "a CPU limit makes couriers miss their slots")
        if one["kind"] == "Job":
            continue
        labels = one["spec"]["template"]["metadata"]["labels"]
        selected = one["spec"]["selector"]["matchLabels"]
        expect(selected.items() <= labels.items(), file, "selects other pods than its own")
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            path = container[probe]["httpGet"]["path"]
            expect(path in project.routes(), file, f"the gateway does not answer {path}")


def alerts():
    """Labels exist, each alert has its chapter and a test in which it fires."""
    metrics = project.metrics()
    rules = documents("deploy/alerts/kabar.rules.yaml")[0]
    chapters = {title.lower().replace(" ", "-") for title in found(r"^## (.+)$", "deploy/RUNBOOK.md")}
    tested = set(found(r'alertname="(\w+)"', "tests/deploy/alerts.test.yaml"))
    used = set()
    for rule in (rule for group in rules["groups"] for rule in group["rules"]):
        name, (file, chapter) = rule["alert"], rule["annotations"]["runbook"].split("#")
        used.add(chapter)
        expect(file == "RUNBOOK.md" and chapter in chapters, name, f"RUNBOOK.md has no chapter {chapter}")
        expect(name in tested, name, "fires in no test of tests/deploy/alerts.test.yaml")
        for metric, selector in re.findall(r"(kabar_\w+)\{([^}]*)\}", rule["expr"]):
            labels = set(re.findall(r'(\w+)[=!]', selector))
            expect(labels <= metrics[metric][1], name, f"{metric} lacks one of the labels {labels}")
        by = {label for labels in re.findall(r"by \(([\w, ]+)\)", rule["expr"]) for label in labels.split(", ")}
        by -= {"le"}
        known = set().union(*(metrics[metric][1] for metric in metrics if metric in rule["expr"]))
        expect(by <= known, name, f"none of its metrics has the labels {by - known}")
    expect(chapters == used, "RUNBOOK.md", f"no alert points to {chapters - used}")


def terraform():
    """What the files refer to is there."""
    text = "\n".join(path.read_text() for path in sorted((DEPLOY / "terraform").glob("*.tf")))
    parsed = hcl2.loads(text)
    plain = lambda name: name.strip('"')
    defined = {f"var.{plain(name)}" for block in parsed["variable"] for name in block}
    defined |= {f"local.{name}" for block in parsed["locals"] for name in block if not name.startswith("__")}
    for prefix, kind in (("", "resource"), ("data.", "data")):
        for block in parsed[kind]:
            defined |= {f"{prefix}{plain(one)}.{plain(name)}" for one in block for name in block[one]}
    code = re.sub(r'#.*|description\s*=.*|error_message\s*=.*', "", text)
    for reference in set(re.findall(r"\b(?:var|local|data\.aws_\w+|(?<!\.)(?<!\")aws_\w+)\.\w+", code)):
        expect(reference in defined, "terraform", f"{reference} is not there")


def examples():
    """Jobs have the form of a job; programs can be read."""
    schema = json.loads(read("workers/src/cli/job.schema.json"))
    for path in (DEPLOY / "examples").glob("*.json"):
        try:
            jsonschema.validate(json.loads(path.read_text()), schema)
        except jsonschema.ValidationError as error:
            expect(False, path.name, error.message)
    for path in (DEPLOY / "examples").glob("*.py"):
        ast.parse(path.read_text(), path.name)


def image():
    """The image is built with a compiler that is new enough; nothing empty in .env.example was filled in."""
    compiler = [int(part) for part in found(r"^ARG RUST=(.+)$", "deploy/Dockerfile")[0].split(".")]
    least = [int(part) for part in found(r'^rust-version = "(.+)"$', "Cargo.toml")[0].split(".")]
    expect(compiler >= least, "Dockerfile", "its Rust is older than the workspace's rust-version")
    for name in ("POSTGRES_PASSWORD", "RABBITMQ_PASSWORD", "KABAR_MASTER_KEY"):
        empty = re.search(rf"^{name}=$", read("deploy/.env.example"), re.MULTILINE)
        expect(empty, ".env.example", f"{name} has a value")


def links():
    """Links between documents lead somewhere."""
    for path in DEPLOY.glob("*.md"):
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
            expect((path.parent / target).exists(), path.name, f"{target} is not there")


for check in (names, fleet, kubernetes, alerts, terraform, examples, image, links):
    check()
for problem in problems:
    print(problem, file=sys.stderr)
sys.exit(bool(problems))
