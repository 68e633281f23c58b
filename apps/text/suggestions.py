"""What somebody may have meant who wrote a name that is not known."""

import difflib
from collections.abc import Iterable

# Names that other libraries, or our own options, have for what is meant here.
SYNONYMS = {
    "algo": "algorithm",
    "env": "environment",
    "env_id": "environment",
    "env_kwargs": "environment_kwargs",
    "env_wrapper": "wrappers",
    "wrapper": "wrappers",
    "timesteps": "total_timesteps",
    "n_timesteps": "total_timesteps",
    "steps": "total_timesteps",
    "num_envs": "n_envs",
    "params": "hyperparameters",
    "hyperparams": "hyperparameters",
    "lr": "learning_rate",
    "epochs": "n_epochs",
    "num_steps": "n_steps",
    "update_epochs": "n_epochs",
    "clip_coef": "clip_range",
    "entropy_coef": "ent_coef",
    "hidden_sizes": "net_arch",
    "policy_kwargs": "net_arch",
    "activation": "activation_fn",
}
MAX_LENGTH = 200  # Longer ones are no slip of a finger, and comparing takes its time.


def did_you_mean(given: object, known: Iterable[str], count: int = 1) -> str:
    """Return `; did you mean x?` for the end of a refusal, empty where nothing comes close.

    Args:
        given: What was written.
        known: The names that are known.
        count: How many to name at most.
    """
    close = closest(str(given), [*known], count)
    return f"; did you mean {' or '.join(close)}?" if close else ""


def closest(given: str, known: list[str], count: int = 1) -> list[str]:
    """Return the names that come closest to what was written, in their own spelling."""
    if len(given) > MAX_LENGTH:
        return []
    meant = SYNONYMS.get(given.lower())
    if meant in known:
        return [meant]
    spelling = {name.lower(): name for name in reversed(known)}
    return [spelling[name] for name in _close(given.lower(), [*spelling], count)]


def _close(given: str, known: list[str], count: int) -> list[str]:
    return difflib.get_close_matches(given, known, n=count, cutoff=0.5 if count > 1 else 0.6)
