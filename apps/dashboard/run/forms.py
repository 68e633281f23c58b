"""Forms on a run's page: which checkpoint to evaluate, and how many steps to go on for."""

from typing import Any

from django import forms

from apps.dashboard.fields import number_field, offer
from apps.experiments.models import Run
from apps.spec.evaluation import EVALUATION_BOUNDS, default_evaluation_seed
from apps.spec.fields import BOUNDS
from apps.text.whole_numbers import whole_number


def checkpoint_steps(run: Run) -> list[int]:
    """Return the steps of a run's checkpoints, the last one first."""
    return list(run.checkpoints.order_by("-step").values_list("step", flat=True))


def checkpoint_choices(steps: list[int]) -> list[tuple[str, str]]:
    """Return checkpoints as choices of a select."""
    each = ((str(step), f"step {step:,}") for step in steps)
    return [("best", "best"), ("last", "last"), *each]


class WholeNumberField(forms.IntegerField):
    """A whole number in any spelling, `1e5` as well, as specs read it."""

    def to_python(self, value: Any) -> int | None:
        """Read what was typed."""
        number = whole_number(value)
        return super().to_python(value if number is None else number)


class ContinueForm(forms.Form):
    """How many steps a run is to go on for."""

    more_timesteps = WholeNumberField(
        label="Further steps", min_value=1, max_value=BOUNDS["total_timesteps"][1]
    )
    schedules = forms.ChoiceField(
        choices=[("keep", "stay where they ended"), ("stretch", "run over the new length")],
        initial="keep",
        required=False,
    )

    def __init__(self, run: Run, data: Any = None) -> None:
        initial = {"more_timesteps": run.spec["total_timesteps"]}
        super().__init__(data, auto_id="continue-%s", initial=initial)


class EvaluateForm(forms.Form):
    """An evaluation of one checkpoint of a run."""

    at = forms.ChoiceField(label="Checkpoint")
    n_episodes = number_field("Episodes", EVALUATION_BOUNDS["n_episodes"])
    seed = number_field("First seed", EVALUATION_BOUNDS["seed"])
    is_stochastic = forms.BooleanField(label="Sample actions", required=False)
    should_film = forms.BooleanField(label="Film it", required=False, initial=True)

    def __init__(self, run: Run, data: Any = None) -> None:
        super().__init__(
            data,
            auto_id="evaluate-%s",
            initial={
                "n_episodes": run.spec.get("eval_episodes", 5),
                "seed": default_evaluation_seed(run.spec["seed"]),
            },
        )
        steps = checkpoint_steps(run)
        self.has_checkpoints = bool(steps)
        offer(self.fields["at"], checkpoint_choices(steps))

    def options(self) -> dict[str, Any]:
        """Return the fields of `EvalSpec` that were filled in."""
        numbers = {name: self.cleaned_data[name] for name in ("n_episodes", "seed")}
        return {
            **{name: value for name, value in numbers.items() if value},
            "is_deterministic": not self.cleaned_data["is_stochastic"],
            "should_film": self.cleaned_data["should_film"],
        }
