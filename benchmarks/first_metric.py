"""How long a click waits for its first metric: from POST to the first `metrics` event over SSE.

Starts the real web server and worker twice, with a warm trainer in reserve and without, and
alternates between them. The run is PPO on CartPole with the preset that the form offers first. The
verdict is about the warm median; the cold one shows what the reserve buys.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.report import interleaved, print_samples, print_verdict
from tests.live_stack import LiveStack, wait_until

TARGET_S = 0.8
SPEC = {
    "algorithm": "ppo",
    "environment": "CartPole-v1",
    "preset": "fast",
    "total_timesteps": 3000,
}


def first_metric_s(stack: LiveStack, token: str) -> float:
    """Launch a run over REST, follow its stream, and return seconds to its first metrics event."""
    started_at = time.perf_counter()
    with stack.request("/api/v1/runs", token, SPEC) as response:
        run_id = json.load(response)["id"]
    elapsed_s = None
    with stack.request(f"/api/v1/runs/{run_id}/stream", token) as stream:
        for line in stream:
            if not line.startswith(b"data: "):
                continue
            types = {event["type"] for event in json.loads(line[6:])["events"]}
            if elapsed_s is None and "metrics" in types:
                elapsed_s = time.perf_counter() - started_at
            if "end" in types:
                break
    assert elapsed_s is not None
    wait_until_idle(stack, token)
    return elapsed_s


def wait_until_idle(stack: LiveStack, token: str) -> None:
    """Wait until nothing trains or evaluates and the reserve is warm again."""

    def is_idle() -> bool:
        with stack.request("/api/v1/system", token) as response:
            system = json.load(response)
        trainers = stack.find("apps.engine --supervised")
        return system["running"] == system["queued"] == 0 and len(trainers) <= 1

    wait_until(is_idle, 60, "the stack to be idle")
    time.sleep(4.0)  # Warming takes about three seconds.


def memory_of_reserve_mb(stack: LiveStack) -> float:
    """Return the memory that the waiting trainer alone costs, in MB."""
    (reserve,) = stack.find("--warm")
    return float(reserve.memory_full_info().uss) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    with ExitStack() as exits:
        stacks = {}
        for name, switch in (("warm", "1"), ("cold", "0")):
            os.environ["RLGYM_WARM_TRAINER"] = switch
            home = Path(exits.enter_context(tempfile.TemporaryDirectory())) / "home"
            stack = exits.enter_context(LiveStack(home))
            stacks[name] = (stack, stack.token())
        for stack, token in stacks.values():
            wait_until_idle(stack, token)
        memory_mb = memory_of_reserve_mb(stacks["warm"][0])
        samples = interleaved(
            options.rounds,
            warm=lambda: first_metric_s(*stacks["warm"]),
            cold=lambda: first_metric_s(*stacks["cold"]),
        )
    print_samples("s", samples)
    print(f"the waiting trainer's own memory: {memory_mb:.0f} MB")
    print_verdict("first_metric", "value", statistics.median(samples["warm"]), TARGET_S, samples)


if __name__ == "__main__":
    main()
