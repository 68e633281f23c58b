"""The pre-flight check, in a process of its own: `python -m apps.engine.checker`.

Reads a `preflight` job on stdin: constructs, probes, checks, rehearses, judges. Says at each phase
how far it has come, so that whoever waits knows where an environment broke or hung, and keeps what
was found until then.
"""

import argparse
import re
import sys
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import gymnasium
from gymnasium.utils.env_checker import check_env as check_with_gymnasium
from stable_baselines3.common.env_checker import check_env as check_with_sb3

from apps.catalogue.environments.cards import ENVIRONMENTS
from apps.catalogue.environments.descriptions import EnvironmentDescription
from apps.catalogue.stepping import VECTORIZATIONS
from apps.engine.environments.making import describe, training_wrapper
from apps.engine.models.devices import leave_compiler_out
from apps.engine.preflight import verdicts
from apps.engine.preflight.probe import probe
from apps.engine.preflight.rehearsal import Rehearsal, free_memory, rehearse
from apps.engine.process import (
    EXIT_REFUSED,
    end_with_supervisor,
    exit_is_failure,
    give_up_after,
    open_stdin,
    private_replies,
    read_options,
)
from apps.engine.stepping.choosing import Choice, expected
from apps.engine.stepping.making import make_env_for
from apps.errors import EngineError, InvalidSpec
from apps.machine import gpu
from apps.protocol import messages
from apps.protocol.preflight import Finding, Preflight, Probe
from apps.spec.fitting import check_fit
from apps.spec.memory import gpu_bytes
from apps.spec.run import RunSpec

# The checkers reset about ten times; they are left out where that takes long.
MAX_CHECKED_RESET_S = 0.5
MAX_WORDS = 300
COLOUR = re.compile(r"\x1b\[\d+m")
LIBRARIES = ("gymnasium", "stable_baselines3")

# Called with each phase that begins, as words that follow on "while", and what is known by then.
Tell = Callable[[str, Preflight], object]


def preflight(spec: RunSpec, tell: Tell, share: int | None = None) -> Preflight:
    """Check whether a spec can be trained here, and how long it would take.

    What an environment raises leaves this function: `tell` has been told what was known.

    Args:
        spec: A valid spec.
        tell: See `Tell`.
        share: The most threads that the run would compute in; None: all there are.
    """
    check = _Check(spec, tell, share)
    try:
        check.run()
    except InvalidSpec as error:
        check.find(*(Finding("refusal", each.message, field=each.field) for each in error.errors))
    except EngineError as error:
        check.find(Finding("refusal", str(error)))
    return check.result()


@dataclass(slots=True)
class _Check:
    """One check under way."""

    spec: RunSpec
    tell: Tell
    share: int | None
    known: Preflight = field(default_factory=Preflight)
    started: float = field(default_factory=time.perf_counter)

    def find(self, *findings: Finding) -> None:
        self.known = replace(self.known, findings=(*self.known.findings, *findings))

    def result(self) -> Preflight:
        return replace(self.known, elapsed_s=time.perf_counter() - self.started)

    def begin(self, phase: str) -> None:
        self.tell(phase, self.result())

    def run(self) -> None:
        self.begin("constructing the environment")
        description = _describe(self.spec)
        self.known = replace(self.known, environment=description)
        check_fit(self.spec, description)
        if description.shifted:
            self.find(Finding("ok", "; ".join(description.shifted)))
        self.begin("taking random steps")
        env = training_wrapper(self.spec.wrappers)(make_env_for(self.spec))
        probed = probe(env, self.spec.seed)
        env.close()
        self.known = replace(self.known, probe=probed)
        free_bytes, _ = free_memory()
        self.find(*verdicts.on_probe(self.spec, description, probed, free_bytes))
        if probed.not_finite:
            return
        self.begin("looking how it is best stepped")
        self.find(_on_stepping(expected(self.spec)))
        if self.spec.environment not in ENVIRONMENTS:  # The others were checked by their makers.
            self._ask_checkers(probed)
        self.begin("training for a moment")
        gpu_memory = gpu.look()  # While nothing of it is this process's.
        rehearsal = rehearse(self.spec, description, probed, self.share)
        eta_s = _eta_s(self.spec, probed, rehearsal)
        self.known = replace(
            self.known, memory=rehearsal.memory, steps_per_s=rehearsal.steps_per_s, eta_s=eta_s
        )
        self.find(
            verdicts.on_memory(self.spec, description, rehearsal.memory),
            *verdicts.on_gpu_memory(gpu_bytes(self.spec, description), gpu_memory),
            verdicts.on_speed(self.spec, rehearsal.steps_per_s, eta_s, rehearsal.n_envs),
        )

    def _ask_checkers(self, probed: Probe) -> None:
        if probed.reset_s > MAX_CHECKED_RESET_S:
            self.find(
                Finding(
                    "advice",
                    f"a reset takes {probed.reset_s:.1f} s, so the checkers of the libraries, "
                    "which reset ten times, were left out",
                    "call gymnasium.utils.env_checker.check_env on it once",
                )
            )
            return
        complaints: list[Finding] = []
        for title, check in (
            (
                "Gymnasium",
                lambda: check_with_gymnasium(
                    make_env_for(self.spec).unwrapped,
                    skip_render_check=True,
                    skip_close_check=True,
                ),
            ),
            ("Stable-Baselines3", lambda: check_with_sb3(make_env_for(self.spec))),
        ):
            self.begin(f"{title}'s checker looks at it")
            complaints += complaints_of(title, check)
        self.find(*complaints or [Finding("ok", "the libraries' checkers have no complaint")])


def _describe(spec: RunSpec) -> EnvironmentDescription:
    return describe(spec.environment, spec.environment_kwargs, spec.wrappers, spec.frame_stack)


def _on_stepping(choice: Choice) -> Finding:
    if choice.is_fallback:
        said = f"vectorization {choice.asked} cannot be had: {choice.reason}"
        return Finding("advice", said, "set vectorization to auto")
    why = f" ({choice.reason})" if choice.reason else ""
    return Finding("ok", f"vectorization {choice.used}: {VECTORIZATIONS[choice.used]}{why}")


def complaints_of(title: str, check: Callable[[], None]) -> list[Finding]:
    """Run a library's checker and return what it complains of, each complaint once."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            check()
        except (
            AssertionError,
            TypeError,
            ValueError,
            AttributeError,
            LookupError,
            NotImplementedError,
            gymnasium.error.Error,
        ) as error:
            raised = [Finding("warning", f"{title}'s checker: {_short(str(error))}")]
        else:
            raised = []
    texts = [
        _short(str(warning.message))
        for warning in caught
        if any(library in warning.filename for library in LIBRARIES)
    ]
    advice = [Finding("advice", f"{title}'s checker: {text}") for text in dict.fromkeys(texts)]
    return raised + advice


def _short(text: str) -> str:
    plain = " ".join(COLOUR.sub("", text).split()).removeprefix("WARN: ")
    return plain if len(plain) <= MAX_WORDS else f"{plain[:MAX_WORDS]} …"


def _eta_s(spec: RunSpec, probed: Probe, rehearsal: Rehearsal) -> float:
    """Return the seconds of a whole run: it only explores at first where it has a buffer."""
    exploring: int = min(spec.hyperparameters.get("learning_starts", 0), spec.total_timesteps)
    return (
        exploring / probed.steps_per_s + (spec.total_timesteps - exploring) / rehearsal.steps_per_s
    )


def main() -> None:
    """Answer one job and leave."""
    options = read_options(argparse.ArgumentParser(prog="python -m apps.engine.checker"))
    replies = private_replies()
    leave_compiler_out()
    stdin = open_stdin()
    line = stdin.readline()
    if options.supervised:
        threading.Thread(target=end_with_supervisor, args=(stdin,), daemon=True).start()

    def tell(phase: str, known: Preflight) -> None:
        said: messages.Reply = {"reply": "phase", "message": phase, "result": known.as_dict()}
        replies.write(messages.encode(said))

    try:
        job = messages.decode(line, "job")
        if "limit_s" in job:
            give_up_after(job["limit_s"])
        spec = RunSpec.from_dict(job.get("spec", {}))
        with exit_is_failure():
            result = preflight(spec, tell, job.get("threads"))
    except EngineError as error:
        replies.write(messages.encode({"reply": "refused", "message": str(error)}))
        sys.exit(EXIT_REFUSED)
    replies.write(messages.encode({"reply": "done", "result": result.as_dict()}))


if __name__ == "__main__":
    main()
