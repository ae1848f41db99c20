"""Tests of the interpreter: retries, catchers, the tolerance for failures and the limits."""

import copy
import json
import unittest
from dataclasses import replace

import simulate
from simulate import MACHINE, Invoke, Scenario, Server, TaskFailed, Wait, World

SMALL = Scenario("small", "check", 50, 2.0, instances=400, down=0, refused=0, unreachable=0)


def machine() -> dict:
    return json.loads(MACHINE.read_text(encoding="utf-8"))


def run_state(machine: dict) -> dict:
    return machine["States"]["Instances"]["ItemProcessor"]["States"]["Run"]


class Executions(unittest.TestCase):
    def test_each_instance_succeeds_once(self) -> None:
        result = simulate.simulate(SMALL)
        self.assertIsNone(result.error)
        self.assertEqual((result.succeeded, result.failed, result.pending), (400, 0, 0))
        self.assertEqual(result.world.invocations, 400)
        # The Map state, and two states for each instance.
        self.assertEqual(result.world.transitions, 801)
        self.assertLessEqual(result.world.most_running, 50)
        written = result.world.objects["records/prod/night/SUCCEEDED_0.json"]
        self.assertEqual([one["instance"] for one in written], [f"db-{n:05}" for n in range(400)])
        self.assertEqual(written[0]["result"]["outcome"], "as_declared")

    def test_equal_inputs_give_equal_results(self) -> None:
        scenario = replace(SMALL, down=0.01, refused=0.02, unreachable=0.05)
        one, other = simulate.simulate(scenario), simulate.simulate(scenario)
        self.assertEqual((one.world.now, one.cost), (other.world.now, other.cost))

    def test_throttled_invocations_are_repeated(self) -> None:
        scenario = replace(SMALL, parallel=200, lambda_limit=20)
        result = simulate.simulate(scenario)
        self.assertGreater(result.world.throttled, 100)
        self.assertEqual((result.succeeded, result.world.most_running), (400, 20))
        without = machine()
        del run_state(without)["Retry"]
        result = simulate.simulate(replace(scenario, tolerated=100), without)
        self.assertGreater(result.failed, 100)

    def test_kinds_of_failures(self) -> None:
        kinds = {"refused": Server(1, refused=True), "down": Server(1, down=True),
                 "once": Server(1, unreachable_times=1), "slow": Server(1, out_of_time_times=2),
                 "slower": Server(1, out_of_time_times=3)}
        world, data = simulate.world_of(replace(SMALL, instances=0, tolerated=100))
        world.servers = kinds
        lines = [{"instance": name, "approval": "true"} for name in kinds]
        world.objects["definitions/prod/instances.jsonl"] = "\n".join(map(json.dumps, lines))
        world.run(simulate.execute(world, machine(), data, {}))
        succeeded = world.objects["records/prod/night/SUCCEEDED_0.json"]
        self.assertEqual([one["instance"] for one in succeeded], ["once", "slow"])
        failed = world.objects["records/prod/night/FAILED_0.json"]
        causes = {one["Cause"].split(":")[0]: (one["Error"], one["Cause"]) for one in failed}
        self.assertEqual(causes["refused"],
                         ("refused", "refused: plan-refused: the plan is refused"))
        self.assertEqual(causes["down"][0], "failed")
        self.assertIn("down: cannot-connect: ", causes["down"][1])
        self.assertIn("slower: interrupted: ", causes["slower"][1])
        # A refusal is not repeated; the others are tried up to three times.
        self.assertEqual(world.invocations, 1 + 3 + 2 + 3 + 3)

    def test_rest_is_not_applied_with_a_digest(self) -> None:
        world, data = simulate.world_of(replace(SMALL, instances=0, tolerated=100))
        world.servers = {name: Server(1, out_of_time_times=1) for name in ["digest", "true", "none"]}
        lines = [{"instance": "digest", "approval": "sha256:0"},
                 {"instance": "true", "approval": "true"}, {"instance": "none"}]
        world.objects["definitions/prod/instances.jsonl"] = "\n".join(map(json.dumps, lines))
        world.run(simulate.execute(world, machine(), data, {}))
        succeeded = world.objects["records/prod/night/SUCCEEDED_0.json"]
        self.assertEqual([one["instance"] for one in succeeded], ["true", "none"])
        failed = world.objects["records/prod/night/FAILED_0.json"]
        self.assertEqual([one["Cause"] for one in failed],
                         ["digest: interrupted: stopped before the deadline"])
        self.assertEqual(world.invocations, 1 + 2 + 2)

    def test_run_whose_response_is_lost_is_a_stopped_run(self) -> None:
        world, data = simulate.world_of(replace(SMALL, instances=0, tolerated=100))
        world.servers = {name: Server(1, lost_times=1) for name in ["digest", "true", "none"]}
        world.servers["thrice"] = Server(1, lost_times=3)
        lines = [{"instance": "digest", "approval": "sha256:0"},
                 {"instance": "true", "approval": "true"}, {"instance": "none"},
                 {"instance": "thrice"}]
        world.objects["definitions/prod/instances.jsonl"] = "\n".join(map(json.dumps, lines))
        world.run(simulate.execute(world, machine(), data, {}))
        succeeded = world.objects["records/prod/night/SUCCEEDED_0.json"]
        self.assertEqual([one["instance"] for one in succeeded], ["true", "none"])
        failed = world.objects["records/prod/night/FAILED_0.json"]
        self.assertEqual([one["Cause"] for one in failed],
                         [f"{name}: Lambda.SdkClientException: no response"
                          for name in ["digest", "thrice"]])
        self.assertEqual(world.invocations, 1 + 2 + 2 + 3)

    def test_only_throttled_invocations_of_lambda_are_retried(self) -> None:
        retried = [error for retrier in run_state(machine())["Retry"]
                   for error in retrier["ErrorEquals"]]
        self.assertEqual(retried, ["Lambda.TooManyRequestsException", "lock-timeout"])
        stopped = next(one["ErrorEquals"] for one in run_state(machine())["Catch"]
                       if one["Next"] == "Stopped")
        self.assertEqual({one for one in stopped if one.startswith("Lambda.")},
                         {"Lambda.ServiceException", "Lambda.AWSLambdaException",
                          "Lambda.SdkClientException"})

    def test_too_many_failures_end_the_execution(self) -> None:
        result = simulate.simulate(replace(SMALL, refused=0.2, tolerated=5))
        self.assertEqual(result.error.error, "too-many-failures")
        self.assertIn("s3://records/prod/night", result.error.cause)
        # The first failure above the tolerance ends it.
        self.assertEqual(result.refused, 21)
        self.assertGreater(result.pending, 200)
        tolerant = simulate.simulate(replace(SMALL, refused=0.2, tolerated=100))
        self.assertIsNone(tolerant.error)
        self.assertEqual(tolerant.succeeded + tolerant.refused, 400)

    def test_event_of_the_execution_takes_precedence(self) -> None:
        world, data = simulate.world_of(replace(SMALL, instances=1))
        seen = []
        processor = machine()["States"]["Instances"]
        item = {"instance": "a", "mode": "apply", "approval": "sha256:1"}
        seen = simulate.filled(processor["ItemSelector"], data, {"Map": {"Item": {"Value": item}}})
        self.assertEqual(seen["event"], {"mode": "check", "run_id": "night", "format": "none",
                                         "fleet": "s3://definitions/prod/fleet.toml",
                                         "instance": "a", "approval": "sha256:1"})
        self.assertEqual(world.invocations, 0)


class Language(unittest.TestCase):
    def test_delays_double_up_to_the_maximum(self) -> None:
        state = {"Retry": [{"ErrorEquals": ["a"], "IntervalSeconds": 2, "BackoffRate": 2.0,
                            "MaxDelaySeconds": 5, "MaxAttempts": 3},
                           {"ErrorEquals": ["States.ALL"], "IntervalSeconds": 1,
                            "BackoffRate": 1.0, "MaxAttempts": 1}]}
        attempts: dict[int, int] = {}
        delays = [simulate.retry_delay(World({}, 1), state, TaskFailed(error, ""), attempts)
                  for error in ["a", "a", "b", "a", "a", "b"]]
        self.assertEqual(delays, [2, 4, 1, 5, None, None])

    def test_what_is_not_implemented_is_an_error(self) -> None:
        other = machine()
        run_state(other)["HeartbeatSeconds"] = 5
        with self.assertRaisesRegex(ValueError, "HeartbeatSeconds"):
            simulate.simulate(SMALL, other)
        for rule in [{"Not": {}}, {"Variable": "$.a", "IsNull": True}]:
            with self.assertRaises((ValueError, KeyError)):
                simulate.holds(rule, {"a": 1})
        for path in ["$.a[0]", "States.UUID()", "States.JsonMerge($.a, $.a, true)"]:
            with self.assertRaises(ValueError):
                simulate.value_at(path, {"a": {}}, {})

    def test_processes_wait_on_the_virtual_clock(self) -> None:
        world = World({"s": Server(7)}, 1)

        def process() -> simulate.Process:
            yield Wait(5)
            result = yield Invoke("f", {"instance": "s", "mode": "check", "run_id": ""})
            return result["Payload"]["outcome"]

        self.assertEqual(world.run(process()), "as_declared")
        self.assertEqual(world.now, 5 + 7 + simulate.COLD_START)

    def test_lint_copy_differs_in_one_field(self) -> None:
        reduced, whole = json.loads(simulate.lint_copy()), copy.deepcopy(machine())
        whole["States"]["Instances"]["ItemReader"]["ReaderConfig"].pop("InputType")
        self.assertEqual(reduced, whole)


if __name__ == "__main__":
    unittest.main()
