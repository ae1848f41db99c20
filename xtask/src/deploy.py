"""Checks the files in `deploy` for which Python has a library: `cargo xtask deploy`.

Arguments: the manifests that kustomize rendered, and the file for those of the chart.
"""

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import compose_spec
import hcl2
import helm_python as helm
import yaml
from hera.workflows import models as argo

EXAMPLE = Path("deploy/kubernetes/example")
CHART = "deploy/kubernetes/chart"

problems = []


def check(condition, message):
    if not condition:
        problems.append(message)


def objects(text):
    """Returns the objects of manifests by kind and name."""
    found = {}
    for one in yaml.safe_load_all(text):
        if one:
            found[one["kind"], one["metadata"]["name"]] = one
    return found


def render(values):
    """Renders the chart as `helm template rdsprov --namespace platform` does."""
    with helm.Chart.load(CHART) as chart:
        merged = chart.merge_values(values)
        chart.validate_schema(merged)
        rendered = chart.render(values, name="rdsprov", namespace="platform")
    files = (text for path, text in sorted(rendered.items()) if path.endswith(".yaml"))
    return "\n---\n".join(files)


def without_differences(found):
    """Removes what differs by design: hashes in the names of ConfigMaps, and annotations of Helm."""
    text = json.dumps([found[key] for key in sorted(found)], sort_keys=True)
    text = re.sub(r"(rdsprov-(?:definitions|environment))-[a-z0-9]{10}\b", r"\1", text)
    kept = {}
    for one in json.loads(text):
        annotations = one["metadata"].get("annotations", {})
        for name in [name for name in annotations if name.startswith("helm.sh/")]:
            del annotations[name]
        kept[one["kind"], one["metadata"]["name"]] = one
    return kept


def check_chart(kustomized, rendered_file):
    chart = yaml.safe_load(Path(CHART, "Chart.yaml").read_text())
    version = tomllib.loads(Path("Cargo.toml").read_text())["workspace"]["package"]["version"]
    check(chart["version"] == chart["appVersion"] == version, f"the chart is not of {version}")
    linted = helm.lint(CHART, values=example_values())
    check(not linted["errors"], f"helm lint: {linted}")
    rendered = render(example_values())
    Path(rendered_file).write_text(rendered)
    ours = without_differences(objects(rendered))
    theirs = without_differences(objects(Path(kustomized).read_text()))
    check(ours.keys() == theirs.keys(), f"chart {ours.keys()}, kustomize {theirs.keys()}")
    for key in ours.keys() & theirs.keys():
        check(
            ours[key] == theirs[key],
            f"{key} differs:\nchart     {json.dumps(ours[key], sort_keys=True)}\n"
            f"kustomize {json.dumps(theirs[key], sort_keys=True)}",
        )
    # A password is not accepted as a value, and neither is an unknown key.
    for key, value in [
        ("environment", {"RDSPROV_ENV": "dev", "PGPASSWORD": "x"}),
        ("definitons", {}),
        ("definitions", {}),
    ]:
        try:
            render({**example_values(), key: value})
        except helm.HelmError:
            continue
        problems.append(f"the chart accepts {key} = {value}")
    # The rest of a plan whose digest was approved is another plan.
    for approval, expected in [("true", [3, 64]), ("sha256:0", [3, 4, 64])]:
        environment = {**example_values()["environment"], "ALLOW_DB_PROVISION": approval}
        job = objects(render({**example_values(), "environment": environment}))["Job", "rdsprov"]
        ended = job["spec"]["podFailurePolicy"]["rules"][0]["onExitCodes"]["values"]
        check(ended == expected, f"with the approval {approval}, the chart ends after {ended}")
    base = yaml.safe_load(Path("deploy/kubernetes/base/provision.yaml").read_text())
    ended = base["spec"]["podFailurePolicy"]["rules"][0]["onExitCodes"]["values"]
    check(ended == [3, 4, 64], f"the Job of the base ends after {ended}")
    # Objects can be left out.
    values = {"provision": {"enabled": False}, "networkPolicy": {"enabled": False}}
    left = objects(render({**example_values(), **values}))
    check({kind for kind, _ in left} == {"ConfigMap", "ServiceAccount", "CronJob"}, f"{left.keys()}")


def example_values():
    values = yaml.safe_load((EXAMPLE / "values.yaml").read_text())
    names = ["rdsprov.toml", "terraform.tfvars"]
    return {**values, "definitions": {name: (EXAMPLE / name).read_text() for name in names}}


def check_model(model, value, path):
    """Compares a value with what its pydantic model keeps of it: not the keys that it does not know."""
    kept = model.model_validate(value)
    kept = json.loads(kept.model_dump_json(exclude_none=True, by_alias=True))
    for difference in differences(value, kept):
        problems.append(f"{path}: {difference}")


def check_argo():
    kinds = {"WorkflowTemplate": argo.WorkflowTemplate, "CronWorkflow": argo.CronWorkflow}
    for path in sorted(Path("deploy/argo").glob("*.yaml")):
        for one in yaml.safe_load_all(path.read_text()):
            if one["kind"] not in kinds:
                continue
            check_model(kinds[one["kind"]], one, path)
            if one["kind"] == "WorkflowTemplate":
                check_scripts(one)


def differences(ours, kept, place=""):
    if isinstance(ours, dict) and isinstance(kept, dict):
        for key, value in ours.items():
            if key not in kept:
                yield f"unknown key {place}.{key}"
            else:
                yield from differences(value, kept[key], f"{place}.{key}")
    elif isinstance(ours, list) and isinstance(kept, list) and len(ours) == len(kept):
        # A model keeps a list of unique texts as a set.
        if all(isinstance(one, str) for one in ours) and sorted(ours) == sorted(kept):
            return
        for number, pair in enumerate(zip(ours, kept)):
            yield from differences(*pair, f"{place}[{number}]")
    elif ours != kept:
        yield f"{place} is {ours!r}, and the model keeps {kept!r}"


def check_scripts(template):
    """Checks the scripts with shellcheck, and runs the report."""
    scripts = {
        one["name"]: one["script"] for one in template["spec"]["templates"] if "script" in one
    }
    with tempfile.TemporaryDirectory() as directory:
        for name, script in scripts.items():
            file = Path(directory) / f"{name}.sh"
            file.write_text(script["source"])
            linted = subprocess.run(
                [Path(sys.executable).with_name("shellcheck"), "--shell=sh", file],
                capture_output=True,
                text=True,
            )
            check(linted.returncode == 0, linted.stdout)
    instances = ["shop", "bank"]
    for exit_codes, expected in [
        ((0, 0), 0),
        ((0, 2), 2),
        ((2, 3), 3),
        ((3, 1), 1),
        ((1, 4), 4),
        ((137, 2), 1),
        ((0,), 1),
        ((), 1),
    ]:
        outcomes = [
            {"instance": one, "exit_code": code, "digest": f"sha256:{one}"}
            for one, code in zip(instances, exit_codes)
        ]
        # Argo Workflows passes values that are JSON either as such or as strings.
        for passed in (outcomes, [json.dumps(outcome) for outcome in outcomes]):
            report = subprocess.run(
                ["sh", "-c", scripts["report"]["source"]],
                env={
                    "PATH": "/usr/bin:/bin",
                    "INSTANCES": json.dumps(instances),
                    "OUTCOMES": json.dumps(passed),
                },
                capture_output=True,
                text=True,
            )
            approvals = {one["instance"]: one["digest"] for one in outcomes}
            check(
                report.returncode == expected
                and "bank" in report.stdout
                and (json.dumps(approvals, separators=(",", ":")) in report.stdout or not outcomes),
                f"the report of {exit_codes} exits {report.returncode}: {report.stdout}"
                f"{report.stderr}",
            )


def check_compose():
    path = "deploy/container/docker-compose.yml"
    compose = yaml.safe_load(Path(path).read_text())
    check_model(compose_spec.ComposeSpecification, compose, path)
    services = compose["services"]
    for name, service in services.items():
        for needed in service.get("depends_on", {}):
            check(needed in services, f"{name} depends on {needed}, which is not a service")


def check_terraform():
    """Checks the syntax of all files, and that the policies are those of docs/iam.md."""
    policies = {}
    for path in sorted(Path("deploy/terraform").rglob("*.tf")):
        with path.open() as file:
            blocks = hcl2.load(file)
        for block in blocks.get("data", []):
            for name, policy in block.get('"aws_iam_policy_document"', {}).items():
                found = re.findall(r"secretsmanager:\w+", json.dumps(policy.get("statement")))
                policies[name.strip('"')] = set(found)
    read = documented_actions("rdsprov apply")
    check(policies["read_secrets"] == read, f"read_secrets: {policies['read_secrets']}, not {read}")
    rotate = documented_actions("rdsprov rotate")
    ours = policies["read_secrets"] | policies["rotate_secrets"]
    check(ours == rotate, f"rotate_secrets: {ours}, not {rotate}")


def documented_actions(command):
    """Returns the actions of the policy for a command in docs/iam.md."""
    section = Path("docs/iam.md").read_text().split(f"## `{command}`\n")[1].split("\n## ")[0]
    policy = json.loads(section.split("```json")[1].split("```")[0])
    actions = [statement["Action"] for statement in policy["Statement"]]
    return {one for some in actions for one in ([some] if isinstance(some, str) else some)}


if __name__ == "__main__":
    check_chart(*sys.argv[1:])
    check_argo()
    check_compose()
    check_terraform()
    for problem in problems:
        print(f"deploy: {problem}", file=sys.stderr)
    sys.exit(1 if problems else 0)
