"""Checks the files in `deploy` for which Python has a library: `cargo xtask deploy`.

Arguments: the manifests that kustomize rendered, and the file for those of the chart.
"""

import fnmatch
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
        # Argo Workflows passes values that are JSON either as such or as strings, and leaves the
        # placeholder if no pod has an outcome.
        lists = [json.dumps(outcomes), json.dumps([json.dumps(one) for one in outcomes])]
        if not outcomes:
            lists.append("{{steps.instance.outputs.parameters.outcome}}")
        for passed in lists:
            report = subprocess.run(
                ["sh", "-c", scripts["report"]["source"]],
                env={
                    "PATH": "/usr/bin:/bin",
                    "INSTANCES": json.dumps(instances),
                    "OUTCOMES": passed,
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


# The statements for objects of S3 and for instances of a fleet, which the command has no policy for.
OBJECTS = [["s3:GetObject"], ["s3:PutObject"], ["sts:AssumeRole"]]


def check_terraform():
    """Checks the syntax of all files, the policies, and the alarms."""
    policies, alarms = {}, {}
    for path in sorted(Path("deploy/terraform").rglob("*.tf")):
        with path.open() as file:
            blocks = hcl2.load(file)
        for block in blocks.get("data", []):
            for name, policy in block.get('"aws_iam_policy_document"', {}).items():
                found = policy.get("statement", []) + [
                    dynamic['"statement"']["content"][0] for dynamic in policy.get("dynamic", [])
                ]
                actions = [sorted(text.strip('"') for text in one["actions"]) for one in found]
                policies[name.strip('"')] = sorted(actions)
        for block in blocks.get("resource", []):
            for name, alarm in block.get('"aws_cloudwatch_metric_alarm"', {}).items():
                alarms[name.strip('"')] = alarm
    key = [["kms:Decrypt"]]
    expected = sorted(documented("`rdsprov apply`") + OBJECTS + key)
    check(policies["provision"] == expected, f"Terraform, provision: {policies['provision']}")
    key = [["kms:Decrypt", "kms:GenerateDataKey"]]
    expected = sorted(documented("The rotation function") + key)
    check(policies["rotation"] == expected, f"Terraform, rotation: {policies['rotation']}")
    errors = {key: str(value).strip('"') for key, value in alarms["errors"].items()}
    check(
        (errors["namespace"], errors["metric_name"], errors["statistic"], errors["threshold"])
        == ("AWS/Lambda", "Errors", "Sum", "0")
        and errors["for_each"] == "${local.functions}"
        and "each.value.function_name" in errors["dimensions"],
        f"Terraform, the alarm on errors: {errors}",
    )
    text = Path("deploy/terraform/modules/lambda/errors.tf").read_text()
    functions = "{ provision = aws_lambda_function.provision }, aws_lambda_function.rotation"
    check(functions in text, "Terraform: a function has no alarm on its errors")
    known = metrics()
    names = Path("deploy/terraform/modules/lambda/drift.tf").read_text()
    names = re.search(r"for metric in (\[[^]]*\])", names)[1]
    check(set(json.loads(names)) <= known, f"Terraform: the function writes {known}, not {names}")


def metrics():
    """Returns the names of the metrics that the function writes."""
    text = Path("crates/rdsprov-lambda/src/metrics.rs").read_text()
    return set(re.findall(r'\("(\w+)", "\w+"\)', text))


def documented(heading):
    """Returns the actions of each statement in a section of docs/iam.md."""
    section = Path("docs/iam.md").read_text().split(f"## {heading}\n")[1].split("\n## ")[0]
    blocks = [block.split("```")[0] for block in section.split("```json\n")[1:]]
    statements = [one for block in blocks for one in json.loads(block)["Statement"]]
    return [sorted(texts(one["Action"])) for one in statements]


def texts(value):
    return [value] if isinstance(value, str) else value


class Template(yaml.SafeLoader):
    """Loads a template of CloudFormation, with its functions as objects."""


Template.add_multi_constructor(
    "!",
    lambda loader, name, node: {
        name: loader.construct_scalar(node)
        if isinstance(node, yaml.ScalarNode)
        else loader.construct_sequence(node, deep=True)
    },
)


def statements(function):
    """Returns the statements of a function, with those that depend on a condition."""
    for one in function["Properties"]["Policies"][0]["Statement"]:
        yield one["If"][1] if "If" in one else one


def check_sam():
    """Checks the policies and the alarms of the template, and returns its function with its policy."""
    template = yaml.load(Path("deploy/lambda/template.yaml").read_text(), Template)
    resources = template["Resources"]
    functions = {
        name: one for name, one in resources.items() if one["Type"] == "AWS::Serverless::Function"
    }
    expected = {
        "ProvisionFunction": documented("`rdsprov apply`") + OBJECTS,
        "RotationFunction": documented("The rotation function"),
    }
    check(functions.keys() == expected.keys(), f"SAM: {functions.keys()}")
    for name, function in functions.items():
        found = sorted(sorted(texts(one["Action"])) for one in statements(function))
        check(found == sorted(expected[name]), f"SAM, {name}: {found}")
    watched = []
    for name, one in resources.items():
        if one["Type"] != "AWS::CloudWatch::Alarm":
            continue
        alarm = one["Properties"]
        check(alarm["ComparisonOperator"] == "GreaterThanThreshold", f"SAM, {name}")
        check(alarm["Threshold"] == 0, f"SAM, {name}: {alarm['Threshold']}")
        if alarm["Namespace"] == "rdsprov":
            check(alarm["MetricName"] in metrics(), f"SAM, {name}: {alarm['MetricName']}")
        elif (alarm["Namespace"], alarm["MetricName"]) == ("AWS/Lambda", "Errors"):
            check(alarm["Statistic"] == "Sum", f"SAM, {name}: {alarm['Statistic']}")
            dimension = alarm["Dimensions"][0]
            check(dimension["Name"] == "FunctionName", f"SAM, {name}: {dimension}")
            watched.append(dimension["Value"]["Ref"])
    check(sorted(watched) == sorted(functions), f"SAM: alarms on errors of {watched} only")
    return functions["ProvisionFunction"]


def check_state_machine(function):
    """Checks that the paths in README.md of the state machine are those that the policies allow."""
    text = Path("deploy/stepfunctions/README.md").read_text()
    blocks = [json.loads(block.split("```")[0]) for block in text.split("```json\n")[1:]]
    execution = next(one for one in blocks if "event" in one)
    policy = next(one for one in blocks if "Statement" in one)["Statement"]
    parameters = {
        "AWS::Partition": "aws",
        "AWS::Region": "eu-west-2",
        "AWS::AccountId": "111122223333",
        "EnvironmentName": "prod",
        "DefinitionsBucket": execution["instances"]["bucket"],
        "RecordsBucket": execution["results"]["bucket"],
    }

    def filled(value):
        return re.sub(r"\$\{([\w:]+)\}", lambda found: parameters[found[1]], value["Sub"])

    name = filled(function["Properties"]["FunctionName"])
    ours = "arn:aws:lambda:eu-west-2:111122223333:function:" + name
    check(execution["function"] == ours, f"the function is {ours}, not {execution['function']}")
    of_function = {
        action: filled(one["Resource"])
        for one in statements(function)
        for action in texts(one["Action"])
        if action.startswith("s3:")
    }
    of_machine = {}
    for one in policy:
        for action in texts(one["Action"]):
            of_machine.setdefault(action, []).append(one["Resource"])
    bucket, key = execution["instances"].values()
    results, prefix = execution["results"].values()
    fleet = execution["event"]["fleet"].replace("s3://", "arn:aws:s3:::")
    for action, resource, allowed in [
        ("lambda:InvokeFunction", ours, of_machine),
        ("s3:GetObject", f"arn:aws:s3:::{bucket}/{key}", of_machine),
        # What ResultWriter does.
        ("s3:PutObject", f"arn:aws:s3:::{results}/{prefix}/manifest.json", of_machine),
        ("s3:GetObject", f"arn:aws:s3:::{results}/{prefix}/manifest.json", of_machine),
        ("s3:ListMultipartUploadParts", f"arn:aws:s3:::{results}/{prefix}/1", of_machine),
        ("s3:AbortMultipartUpload", f"arn:aws:s3:::{results}/{prefix}/1", of_machine),
        ("s3:GetObject", fleet, of_function),
    ]:
        allows = [one for one in texts(allowed[action]) if fnmatch.fnmatchcase(resource, one)]
        check(allows, f"{action} on {allowed[action]} does not allow {resource}")


def check_prometheus():
    groups = yaml.safe_load(Path("deploy/prometheus/rdsprov.rules.yaml").read_text())["groups"]
    for rule in groups[0]["rules"]:
        check({"alert", "expr", "annotations"} <= rule.keys(), f"Prometheus: {rule}")
    panels = json.loads(Path("deploy/prometheus/dashboard.json").read_text())["panels"]
    ids = [panel["id"] for panel in panels]
    check(len(set(ids)) == len(ids), "two panels of the dashboard have the same id")


if __name__ == "__main__":
    check_chart(*sys.argv[1:])
    check_argo()
    check_compose()
    check_terraform()
    check_prometheus()
    check_state_machine(check_sam())
    for problem in problems:
        print(f"deploy: {problem}", file=sys.stderr)
    sys.exit(1 if problems else 0)
