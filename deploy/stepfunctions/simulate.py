"""Simulates the state machine for 10,000 instances: time, calls and cost on paper.

The interpreter implements the states, paths and retries that `rdsprov.asl.json` uses, and no others: a
field that it does not know is an error. Lambda, S3 and the servers are models with a virtual clock.
Equal arguments give equal results.

    simulate.py                    print the table
    simulate.py --check FILE       fail if FILE does not contain the table
    simulate.py --lint-copy FILE   write the state machine without the fields that only AWS defines
"""

from __future__ import annotations

import argparse
import copy
import heapq
import json
import math
import random
import re
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import NormalDist
from typing import Any

HERE = Path(__file__).parent
MACHINE = HERE / "rdsprov.asl.json"

# List prices of AWS for us-east-1 in US dollars, as assumed in November 2026.
PRICE_TRANSITION = 0.025 / 1_000
PRICE_INVOCATION = 0.20 / 1_000_000
PRICE_GB_SECOND = 0.0000133334
PRICE_PUT = 0.005 / 1_000
PRICE_SECRET_CALL = 0.05 / 10_000
MEMORY_GB = 0.25
SECRET_CALLS = 2

# The quota of state transitions of standard workflows: the bucket, and the refill in one second.
TRANSITIONS = 800
# A function gets up to this many new execution environments in 10 seconds.
NEW_ENVIRONMENTS = 1_000
COLD_START = 0.5
CONNECT_TIMEOUT = 60.0
TIME_LIMIT = 880.0

Process = Generator[Any, Any, Any]


class TaskFailed(Exception):
    """A state has failed with an error name and a cause."""

    def __init__(self, error: str, cause: str) -> None:
        super().__init__(f"{error}: {cause}")
        self.error = error
        self.cause = cause


@dataclass
class Wait:
    """Suspends a process for some seconds of the virtual clock."""

    seconds: float


@dataclass
class Invoke:
    """Invokes the function with a payload, and resumes the process with the result."""

    function: str
    payload: dict[str, Any]


@dataclass
class Children:
    """Runs child workflows, and resumes the process with the result of each in order."""

    start: list[Callable[[], Process]]
    limit: int
    tolerated: float


@dataclass
class Server:
    """How the server of an instance behaves."""

    seconds: float
    down: bool = False
    refused: bool = False
    unreachable_times: int = 0
    out_of_time_times: int = 0
    # The run ends, and the state machine does not get the response.
    lost_times: int = 0


@dataclass
class World:
    """The virtual clock, and the models of the services."""

    servers: dict[str, Server]
    lambda_limit: int
    objects: dict[str, Any] = field(default_factory=dict)
    now: float = 0.0
    running: int = 0
    most_running: int = 0
    invocations: int = 0
    throttled: int = 0
    transitions: int = 0
    gb_seconds: float = 0.0
    secret_calls: int = 0
    rng: random.Random = field(default_factory=lambda: random.Random(1))
    _queue: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _order: int = 0
    _idle: int = 0
    _window: float = 0.0
    _created: int = 0
    _tokens: float = TRANSITIONS
    _refilled: float = 0.0

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        self._order += 1
        heapq.heappush(self._queue, (self.now + seconds, self._order, action))

    def run(self, process: Process) -> Any:
        """Runs a process to its end. Returns its result, or raises its error."""
        outcome: list[tuple[str, Any]] = []
        self.drive(process, lambda result: outcome.append(("ok", result)),
                   lambda error: outcome.append(("error", error)))
        while self._queue and not outcome:
            self.now, _, action = heapq.heappop(self._queue)
            action()
        kind, value = outcome[0]
        if kind == "error":
            raise value
        return value

    def drive(self, process: Process, done: Callable[[Any], None],
              failed: Callable[[TaskFailed], None]) -> None:
        def resume(value: Any = None, error: TaskFailed | None = None) -> None:
            try:
                request = process.throw(error) if error else process.send(value)
            except StopIteration as stop:
                done(stop.value)
                return
            except TaskFailed as raised:
                failed(raised)
                return
            if isinstance(request, Wait):
                self.later(request.seconds, resume)
            elif isinstance(request, Invoke):
                self.invoke(request, resume)
            elif isinstance(request, Children):
                self.children(request, resume)
            else:
                raise TypeError(f"unknown request {request!r}")

        resume()

    def transition(self) -> float:
        """Counts a state transition. Returns how long the quota delays it."""
        self.transitions += 1
        elapsed = self.now - self._refilled
        self._tokens = min(TRANSITIONS, self._tokens + elapsed * TRANSITIONS)
        self._refilled = self.now
        self._tokens -= 1
        return max(0.0, -self._tokens / TRANSITIONS)

    def invoke(self, call: Invoke, resume: Callable[..., None]) -> None:
        self.invocations += 1
        if self.now - self._window >= 10:
            self._window, self._created = self.now, 0
        is_cold = self._idle == 0
        if self.running >= self.lambda_limit or (is_cold and self._created >= NEW_ENVIRONMENTS):
            self.throttled += 1
            error = TaskFailed("Lambda.TooManyRequestsException", "Rate Exceeded.")
            self.later(0.05, lambda: resume(error=error))
            return
        if is_cold:
            self._created += 1
        else:
            self._idle -= 1
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        self.secret_calls += SECRET_CALLS
        server = self.servers[call.payload["instance"]]
        seconds, result, error = respond(server, call.payload)
        seconds += COLD_START if is_cold else 0.0
        self.gb_seconds += seconds * MEMORY_GB

        def end() -> None:
            self.running -= 1
            self._idle += 1
            if error:
                resume(error=error)
            else:
                resume({"Payload": result, "StatusCode": 200})

        self.later(seconds, end)

    def children(self, request: Children, resume: Callable[..., None]) -> None:
        waiting = deque(enumerate(request.start))
        total = len(waiting)
        results: list[Any] = [None] * total
        state = {"running": 0, "failed": 0, "ended": False}

        def end(index: int, result: Any) -> None:
            if state["ended"]:
                return
            results[index] = result
            state["running"] -= 1
            if isinstance(result, TaskFailed):
                state["failed"] += 1
                if state["failed"] * 100 > request.tolerated * total:
                    state["ended"] = True
                    resume((results, True))
                    return
            start()

        def start() -> None:
            while waiting and state["running"] < request.limit and not state["ended"]:
                index, child = waiting.popleft()
                state["running"] += 1
                self.drive(child(), lambda result, at=index: end(at, result),
                           lambda error, at=index: end(at, error))
            if not waiting and state["running"] == 0 and not state["ended"]:
                state["ended"] = True
                resume((results, False))

        # The start of a child may end it at once, so that `end` calls `start` again.
        self.later(0, start)


def respond(server: Server, event: dict[str, Any]) -> tuple[float, Any, TaskFailed | None]:
    """Returns the duration of an invocation, and its result or its error."""
    if server.down or server.unreachable_times > 0:
        server.unreachable_times -= 1
        return CONNECT_TIMEOUT, None, TaskFailed("cannot-connect", "no response within 60 s")
    if server.refused:
        return server.seconds, None, TaskFailed("plan-refused", "the plan is refused")
    if server.out_of_time_times > 0:
        server.out_of_time_times -= 1
        return TIME_LIMIT, None, TaskFailed("interrupted", "stopped before the deadline")
    if server.lost_times > 0:
        server.lost_times -= 1
        return server.seconds, None, TaskFailed("Lambda.SdkClientException", "no response")
    result = {
        "mode": event["mode"],
        "outcome": "applied" if event["mode"] == "apply" else "as_declared",
        "exit_code": 0,
        "environment": "prod",
        "run_id": event["run_id"],
        "server": "db:5432",
        "digest": "sha256:0",
        "summary": "",
        "counts": {},
    }
    return server.seconds, result, None


def value_at(path: str, data: Any, context: Any) -> Any:
    """Returns the value of a reference path or an intrinsic function."""
    if call := re.fullmatch(r"States\.(\w+)\((.*)\)", path, re.DOTALL):
        values = [argument(one, data, context) for one in split_arguments(call[2])]
        if call[1] == "JsonMerge" and values[2] is False:
            return {**values[0], **values[1]}
        if call[1] == "MathAdd":
            return values[0] + values[1]
        if call[1] == "Format":
            parts = values[0].split("{}")
            if len(parts) != len(values):
                raise ValueError(f"{path}: the number of arguments is wrong")
            texts = [text if isinstance(text, str) else json.dumps(text) for text in values[1:]]
            return "".join(one + other for one, other in zip(parts, [*texts, ""], strict=True))
        raise ValueError(f"the function {path} is not implemented")
    root, names = (context, path[2:]) if path.startswith("$$") else (data, path[1:])
    for name in re.findall(r"\.(\w+)", names):
        root = root[name]
    if re.sub(r"\.\w+", "", names):
        raise ValueError(f"the path {path} is not implemented")
    return root


def split_arguments(text: str) -> Iterable[str]:
    return (one.strip() for one in re.findall(r"'[^']*'|[^,]+", text) if one.strip())


def argument(text: str, data: Any, context: Any) -> Any:
    if text.startswith("'"):
        return text[1:-1]
    return value_at(text, data, context) if text.startswith("$") else json.loads(text)


def filled(template: Any, data: Any, context: Any) -> Any:
    """Returns a payload template with its values."""
    if isinstance(template, dict):
        return {
            key.removesuffix(".$"): value_at(value, data, context)
            if key.endswith(".$")
            else filled(value, data, context)
            for key, value in template.items()
        }
    return template


def with_result(state: dict[str, Any], data: Any, result: Any, key: str = "ResultPath") -> Any:
    path = state.get(key, "$")
    if path == "$":
        return result
    name = re.fullmatch(r"\$\.(\w+)", path)
    if name is None:
        raise ValueError(f"the path {path} is not implemented")
    return {**data, name[1]: result}


FIELDS = {
    "Task": {"Type", "Resource", "Parameters", "TimeoutSeconds", "ResultSelector", "ResultPath",
             "Retry", "Catch", "Next"},
    "Map": {"Type", "Comment", "ItemReader", "ItemSelector", "MaxConcurrencyPath",
            "ToleratedFailurePercentagePath", "ItemProcessor", "ResultWriter", "Catch", "End"},
    "Choice": {"Type", "Comment", "Choices", "Default"},
    "Wait": {"Type", "Seconds", "Next"},
    "Pass": {"Type", "Parameters", "Next", "End"},
    "Fail": {"Type", "Error", "CausePath"},
}


def matches(names: list[str], error: str) -> bool:
    return error in names or "States.ALL" in names


def execute(world: World, machine: dict[str, Any], data: Any, context: Any) -> Process:
    """Executes the states of a machine."""
    name = machine["StartAt"]
    while True:
        state = machine["States"][name]
        unknown = state.keys() - FIELDS[state["Type"]]
        if unknown:
            raise ValueError(f"the fields {unknown} of the state {name} are not implemented")
        yield Wait(world.transition())
        if state["Type"] == "Fail":
            raise TaskFailed(state["Error"], value_at(state["CausePath"], data, context))
        attempts: dict[int, int] = {}
        while True:
            try:
                data = yield from OPERATIONS[state["Type"]](world, state, data, context)
                following = chosen(state, data) if state["Type"] == "Choice" else state.get("Next")
                break
            except TaskFailed as error:
                delay = retry_delay(world, state, error, attempts)
                if delay is not None:
                    yield Wait(delay + world.transition())
                    continue
                catcher = next((one for one in state.get("Catch", [])
                                if matches(one["ErrorEquals"], error.error)), None)
                if catcher is None:
                    raise
                output = {"Error": error.error, "Cause": error.cause}
                data = with_result(catcher, data, output)
                following = catcher["Next"]
                break
        if following is None:
            return data
        name = following


def retry_delay(world: World, state: dict[str, Any], error: TaskFailed,
                attempts: dict[int, int]) -> float | None:
    """Returns how long the next retry waits, or None without one. Each retrier counts its own."""
    for index, retrier in enumerate(state.get("Retry", [])):
        if not matches(retrier["ErrorEquals"], error.error):
            continue
        attempt = attempts.get(index, 0)
        if attempt >= retrier["MaxAttempts"]:
            return None
        attempts[index] = attempt + 1
        delay = retrier["IntervalSeconds"] * retrier["BackoffRate"] ** attempt
        delay = min(delay, retrier.get("MaxDelaySeconds", math.inf))
        return delay * world.rng.random() if retrier.get("JitterStrategy") == "FULL" else delay
    return None


def run_task(world: World, state: dict[str, Any], data: Any, context: Any) -> Process:
    if state["Resource"] != "arn:aws:states:::lambda:invoke":
        raise ValueError(f"the resource {state['Resource']} is not implemented")
    parameters = filled(state["Parameters"], data, context)
    result = yield Invoke(parameters["FunctionName"], parameters["Payload"])
    selected = filled(state["ResultSelector"], result, context)
    return with_result(state, data, selected)


def run_pass(_world: World, state: dict[str, Any], data: Any, context: Any) -> Process:
    return filled(state["Parameters"], data, context)
    yield


def run_wait(_world: World, state: dict[str, Any], data: Any, _context: Any) -> Process:
    yield Wait(state["Seconds"])
    return data


def run_choice(_world: World, _state: dict[str, Any], data: Any, _context: Any) -> Process:
    return data
    yield


def chosen(state: dict[str, Any], data: Any) -> str:
    """Returns the next state of a choice."""
    for rule in state["Choices"]:
        if holds({key: value for key, value in rule.items() if key != "Next"}, data):
            return rule["Next"]
    return state["Default"]


def holds(rule: dict[str, Any], data: Any) -> bool:
    """Returns whether the condition of a choice rule is true."""
    if rule.keys() == {"And"}:
        return all(holds(one, data) for one in rule["And"])
    path, (operator, operand) = rule["Variable"], next(
        item for item in rule.items() if item[0] != "Variable")
    if len(rule) != 2 or operator not in {"IsPresent", "StringMatches", "NumericLessThan"}:
        raise ValueError(f"the condition {rule} is not implemented")
    try:
        value = value_at(path, data, {})
    except KeyError:
        if operator == "IsPresent":
            return operand is False
        raise
    if operator == "IsPresent":
        return operand is True
    if operator == "NumericLessThan":
        return value < operand
    pattern = ".*".join(map(re.escape, operand.split("*")))
    return isinstance(value, str) and re.fullmatch(pattern, value, re.DOTALL) is not None


def run_map(world: World, state: dict[str, Any], data: Any, context: Any) -> Process:
    reader = filled(state["ItemReader"]["Parameters"], data, context)
    text = world.objects[f"{reader['Bucket']}/{reader['Key']}"]
    items = [json.loads(line) for line in text.splitlines()]
    processor = state["ItemProcessor"]

    def child(item: Any) -> Callable[[], Process]:
        of_item = {**context, "Map": {"Item": {"Value": item}}}
        selected = filled(state["ItemSelector"], data, of_item)
        return lambda: execute(world, processor, selected, of_item)

    limit = value_at(state["MaxConcurrencyPath"], data, context)
    tolerated = value_at(state["ToleratedFailurePercentagePath"], data, context)
    results, exceeded = yield Children([child(item) for item in items], limit, tolerated)
    writer = filled(state["ResultWriter"]["Parameters"], data, context)
    prefix = f"{writer['Bucket']}/{writer['Prefix']}"
    of_kind: dict[str, list[Any]] = {"SUCCEEDED": [], "FAILED": [], "PENDING": []}
    for result in results:
        if isinstance(result, TaskFailed):
            of_kind["FAILED"].append({"Error": result.error, "Cause": result.cause})
        else:
            of_kind["PENDING" if result is None else "SUCCEEDED"].append(result)
    for kind, values in of_kind.items():
        world.objects[f"{prefix}/{kind}_0.json"] = values
    if exceeded:
        raise TaskFailed("States.ExceedToleratedFailureThreshold", "the threshold is exceeded")
    return {"ResultWriterDetails": writer}


OPERATIONS: dict[str, Callable[[World, dict[str, Any], Any, Any], Process]] = {
    "Task": run_task,
    "Choice": run_choice,
    "Wait": run_wait,
    "Pass": run_pass,
    "Map": run_map,
}


@dataclass
class Scenario:
    """A simulated execution. Shares are those of the instances."""

    name: str
    mode: str
    parallel: int
    median_seconds: float
    lambda_limit: int = 1_000
    tolerated: float = 5
    down: float = 0.005
    refused: float = 0.005
    unreachable: float = 0.01
    out_of_time: float = 0.0
    instances: int = 10_000


SCENARIOS = [
    Scenario("`check`, 100 at a time", "check", 100, 2.5),
    Scenario("`check`, 1,000 at a time", "check", 1_000, 2.5),
    Scenario("the same, with room for 200 invocations", "check", 1_000, 2.5, lambda_limit=200),
    Scenario("`apply`, 500 at a time", "apply", 500, 6.0, out_of_time=0.002),
    Scenario("`apply`, and every tenth server is down", "apply", 500, 6.0, down=0.1),
]


def world_of(scenario: Scenario) -> tuple[World, dict[str, Any]]:
    """Returns the world of a scenario, and the input of its execution."""
    rng = random.Random(20261129)
    normal = NormalDist()
    servers, lines = {}, []
    for number in range(scenario.instances):
        name = f"db-{number:05}"
        spread = math.exp(0.6 * normal.inv_cdf(min(max(rng.random(), 1e-9), 1 - 1e-9)))
        kinds = [scenario.down, scenario.refused, scenario.unreachable, scenario.out_of_time]
        draw, kind = rng.random(), None
        for index, share in enumerate(kinds):
            if draw < share:
                kind = index
                break
            draw -= share
        servers[name] = Server(
            seconds=scenario.median_seconds * spread,
            down=kind == 0,
            refused=kind == 1,
            unreachable_times=1 if kind == 2 else 0,
            out_of_time_times=1 if kind == 3 else 0,
        )
        lines.append(json.dumps({"instance": name}))
    world = World(servers, scenario.lambda_limit)
    world.objects["definitions/prod/instances.jsonl"] = "\n".join(lines)
    data = {
        "function": "rdsprov-prod",
        "instances": {"bucket": "definitions", "key": "prod/instances.jsonl"},
        "results": {"bucket": "records", "prefix": "prod/night"},
        "parallel": scenario.parallel,
        "tolerated_failure_percentage": scenario.tolerated,
        "event": {"mode": scenario.mode, "fleet": "s3://definitions/prod/fleet.toml",
                  "run_id": "night", "format": "none"},
    }
    return world, data


@dataclass
class Outcome:
    """What an execution has cost and reached."""

    world: World
    error: TaskFailed | None
    succeeded: int
    refused: int
    failed: int
    pending: int

    @property
    def cost(self) -> float:
        world = self.world
        return (
            world.transitions * PRICE_TRANSITION
            + (world.invocations - world.throttled) * PRICE_INVOCATION
            + world.gb_seconds * PRICE_GB_SECOND
            + world.secret_calls * PRICE_SECRET_CALL
            + 4 * PRICE_PUT
        )


def simulate(scenario: Scenario, machine: dict[str, Any] | None = None) -> Outcome:
    """Simulates an execution of the state machine."""
    machine = machine or json.loads(MACHINE.read_text(encoding="utf-8"))
    world, data = world_of(scenario)
    error = None
    try:
        world.run(execute(world, machine, data, {"Execution": {"Name": "night"}}))
    except TaskFailed as raised:
        error = raised
    written = {kind: world.objects.get(f"records/prod/night/{kind}_0.json", [])
               for kind in ("SUCCEEDED", "FAILED", "PENDING")}
    refused = sum(one["Error"] == "refused" for one in written["FAILED"])
    return Outcome(world, error, len(written["SUCCEEDED"]), refused,
                   len(written["FAILED"]) - refused, len(written["PENDING"]))


def table() -> str:
    """Returns the results of all scenarios in Markdown."""
    lines = [
        "| execution | time | invocations | throttled | transitions | succeeded | refused | failed "
        "| not finished | cost |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for scenario in SCENARIOS:
        result = simulate(scenario)
        world = result.world
        minutes, seconds = divmod(round(world.now), 60)
        counts = [world.invocations - world.throttled, world.throttled, world.transitions,
                  result.succeeded, result.refused, result.failed, result.pending]
        cells = [scenario.name, f"{minutes} min {seconds:02} s", *(f"{one:,}" for one in counts),
                 f"${result.cost:.2f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def lint_copy() -> str:
    """Returns the state machine without the fields that AWS adds to the language."""
    machine = copy.deepcopy(json.loads(MACHINE.read_text(encoding="utf-8")))
    del machine["States"]["Instances"]["ItemReader"]["ReaderConfig"]["InputType"]
    return json.dumps(machine, indent=2)


def main() -> int:
    parser = argparse.ArgumentParser(description="Simulates the state machine.")
    parser.add_argument("--check", type=Path, metavar="FILE")
    parser.add_argument("--lint-copy", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    if arguments.lint_copy:
        arguments.lint_copy.write_text(lint_copy(), encoding="utf-8")
        return 0
    text = table()
    if arguments.check and text not in arguments.check.read_text(encoding="utf-8"):
        print(f"{arguments.check} does not contain this table:\n\n{text}", file=sys.stderr)
        return 1
    print(text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
