"""A model file of Stable-Baselines3, of anybody's: what it holds, without running any of it.

Such a zip holds `data` (hyperparameters, in part as pickles) and state dicts (`policy.pth`,
`policy.optimizer.pth`, …). The pickles in `data` are never touched; of its JSON, plain values are
read. Needs no torch: a web server can say what does not fit before anything is queued.
"""

import io
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from apps.errors import RefusedFile
from apps.foreign import tensors
from apps.foreign.archives import Budget, members
from apps.foreign.tensors import Saved, TensorShape
from apps.rundir.files import sha256_of
from apps.words import shown

MAX_DATA_BYTES = 8 << 20
# What the library and sb3-contrib write, and `tensors.pth` of the library's first versions.
MEMBERS = re.compile(
    r"data|_stable_baselines3_version|system_info\.txt|pytorch_variables\.pth|tensors\.pth"
    r"|(policy|policy\.optimizer|actor\.optimizer|critic\.optimizer|ent_coef_optimizer)\.pth"
)
POLICY = "policy"
VARIABLES = "pytorch_variables"
FILE = "the file"

# Which algorithms a policy's module belongs to.
POLICY_MODULES = {
    "stable_baselines3.common.policies": ("ppo", "a2c", "trpo"),
    "stable_baselines3.dqn.policies": ("dqn",),
    "stable_baselines3.sac.policies": ("sac",),
    "stable_baselines3.td3.policies": ("td3", "ddpg"),
    "sb3_contrib.common.recurrent.policies": ("recurrent_ppo",),
    "sb3_contrib.common.maskable.policies": ("maskable_ppo",),
    "sb3_contrib.qrdqn.policies": ("qrdqn",),
    "sb3_contrib.tqc.policies": ("tqc",),
    "sb3_contrib.crossq.policies": ("crossq",),
    "sb3_contrib.ars.policies": ("ars",),
}
# Settings that tell apart what shares its policies.
TELLTALES = {"ppo": "clip_range", "trpo": "cg_damping"}


@dataclass(frozen=True, slots=True)
class ModelFile:
    """What a model file says of itself.

    Attributes:
        sha256: Hash of the file.
        size_bytes: Its size.
        state_dicts: State dicts by name, a `TensorShape` for each tensor.
        settings: The plain values of its `data`; nothing that was pickled.
    """

    sha256: str
    size_bytes: int
    state_dicts: dict[str, Any]
    settings: dict[str, Any]

    @property
    def policy(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the policy's tensors by name."""
        return {name: tensor.shape for name, tensor in self.state_dicts[POLICY].items()}

    @property
    def algorithms(self) -> tuple[str, ...]:
        """The algorithms whose file this may be, likeliest first; empty when it does not say."""
        policy_class = self.settings.get("policy_class")
        module = policy_class.get("__module__") if isinstance(policy_class, dict) else None
        candidates = POLICY_MODULES.get(module, ()) if isinstance(module, str) else ()
        if candidates == ("td3", "ddpg"):
            return candidates if "critic.qf1.0.weight" in self.policy else candidates[::-1]
        if len(candidates) > 1:
            told = [name for name, setting in TELLTALES.items() if setting in self.settings]
            return ((told or ["a2c"])[0],)
        return candidates


def read(path: Path) -> ModelFile:
    """Read what a model file says of itself.

    Raises:
        RefusedFile: It is no model file, or not safe to read.
    """
    parts, settings = _parts(path)
    trees = {name: saved.value for name, saved in parts.items()}
    for name, tree in trees.items():
        if name == POLICY and not _is_of_tensors(tree):
            raise RefusedFile("the networks in the file are not tensors by name")
    return ModelFile(sha256_of(path), path.stat().st_size, trees, settings)


def clean_copy(path: Path) -> io.BytesIO:
    """Return a zip file with the checked state dicts of a model file and nothing else.

    Raises:
        RefusedFile: As for `read`.
    """
    parts, _ = _parts(path)
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name, saved in parts.items():
            archive.writestr(f"{name}.pth", saved.clean_copy())
    target.seek(0)
    return target


def _parts(path: Path) -> tuple[dict[str, Saved], dict[str, Any]]:
    parts: dict[str, Saved] = {}
    settings: dict[str, Any] = {}
    outer, inner = Budget(), Budget()
    with path.open("rb") as file:
        for name, content in members(file, FILE, MEMBERS, outer):
            if name == "data":
                settings = _settings(content)
            elif name.endswith(".pth"):
                stem = VARIABLES if name == "tensors.pth" else name.removesuffix(".pth")
                parts[stem] = tensors.read(content, f"{name} in the file", inner)
    if POLICY not in parts:
        raise RefusedFile("the file has no policy.pth, so it is no model of Stable-Baselines3")
    return parts, settings


def _settings(content: bytes) -> dict[str, Any]:
    """Return `data` as JSON; nothing in it is unpickled, and without it nothing is lost."""
    if len(content) > MAX_DATA_BYTES:
        return {}
    try:
        data = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise RefusedFile(f"data in the file is not JSON: {shown(str(error))}") from error
    return data if isinstance(data, dict) else {}


def _is_of_tensors(tree: Any) -> bool:
    return isinstance(tree, Mapping) and all(
        isinstance(name, str) and isinstance(value, TensorShape) for name, value in tree.items()
    )
