"""Model files of strangers: what fits is read, what is crafted does no harm."""

import base64
import collections
import io
import os
import pickle
import struct
import warnings
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import orjson
import pytest
import torch
from gymnasium.spaces import Discrete
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stable_baselines3 import A2C, PPO, SAC
from stable_baselines3.common.base_class import BaseAlgorithm

from apps.catalogue.algorithms.sb3 import ALGORITHMS
from apps.engine.models.building import build_model
from apps.engine.models.weights import load_weights
from apps.engine.stepping.making import make_vec_env_for
from apps.errors import RefusedFile
from apps.foreign import models
from apps.foreign.models import ModelFile
from apps.foreign.shapes import networks_of
from apps.foreign.tensors import TensorShape
from apps.rundir.files import sha256_of
from apps.spec.run import RunSpec
from tests.builders import SMALL

WORLDS = {"maskable_ppo": "tests.worlds.short_walk:ShortWalk-v0"}


def model_of(algorithm: str, **hyperparameters: Any) -> BaseAlgorithm:
    world = "CartPole-v1" if "discrete" in ALGORITHMS[algorithm].action_spaces else "Pendulum-v1"
    spec = RunSpec.from_dict(
        {
            "algorithm": algorithm,
            "environment": WORLDS.get(algorithm, world),
            "total_timesteps": 64,
            "hyperparameters": hyperparameters,
        }
    )
    return build_model(spec, make_vec_env_for(spec))


@pytest.fixture(scope="session")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that the bare library saved: a PPO of other widths and another activation."""
    kwargs = {"net_arch": {"pi": [9, 5], "vf": [7]}, "activation_fn": torch.nn.ReLU}
    model = PPO("MlpPolicy", "CartPole-v1", n_steps=32, batch_size=32, policy_kwargs=kwargs)
    path = tmp_path_factory.mktemp("stock") / "model.zip"
    model.learn(64).save(path)
    return path


def rewritten(source: Path, target: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """Write a zip file anew with its members changed."""
    with zipfile.ZipFile(source) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    change(content)
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return target


def saved(value: Any) -> bytes:
    target = io.BytesIO()
    torch.save(value, target)
    return target.getvalue()


def as_state_dict(pickled: bytes) -> bytes:
    """What `torch.save` would have written around a pickle of one's own."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/version", b"3\n")
        archive.writestr("archive/data/0", bytes(16))
    return target.getvalue()


def all_equal(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(all_equal(one[k], other[k]) for k in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(all_equal, one, other))
    return bool(one == other)


@pytest.mark.parametrize("algorithm", [*ALGORITHMS])
def test_a_file_tells_what_networks_it_needs_and_every_tensor_of_it_arrives(
    algorithm: str, tmp_path: Path
) -> None:
    shaping = {
        "net_arch": [6, 5],
        "critic_net_arch": [7],
        "n_critics": 3,
        "n_quantiles": 11,
        "lstm_hidden_size": 4,
        "activation_fn": "elu",
        "policy": "mlp",
    }
    known = ALGORITHMS[algorithm].hyperparameters
    shaping = {name: value for name, value in shaping.items() if name in known}
    small = {name: value for name, value in SMALL[algorithm].items() if name not in shaping}
    model = model_of(algorithm, **small, **shaping).learn(64)
    model.save(tmp_path / "model.zip")
    file = models.read(tmp_path / "model.zip")
    networks = networks_of(file, algorithm)
    assert file.algorithms[0] == algorithm
    assert shaping.items() <= networks.hyperparameters.items()
    actions = model.action_space
    assert networks.n_outputs == (actions.n if isinstance(actions, Discrete) else 1)
    assert (networks.n_inputs,) == model.observation_space.shape
    other = model_of(algorithm, **small, **networks.hyperparameters)
    load_weights(other, tmp_path / "model.zip", file.sha256)
    assert all_equal(model.get_parameters(), other.get_parameters())
    for name in model._get_torch_save_params()[1]:
        assert torch.equal(getattr(model, name), getattr(other, name))
    if algorithm == "ars":
        assert torch.equal(model.weights, other.weights)  # type: ignore[attr-defined]
    other.learn(64)  # Its optimizers take their next step.


def test_a_file_of_the_bare_library_acts_the_same_here(stock: Path) -> None:
    file = models.read(stock)
    networks = networks_of(file, "ppo")
    assert networks.hyperparameters == {
        "net_arch": [9, 5],
        "critic_net_arch": [7],
        "use_sde": False,
        "activation_fn": "relu",
    }
    model = model_of("ppo", **networks.hyperparameters)
    load_weights(model, stock, file.sha256)
    bare = PPO.load(stock)
    for observation in np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32):
        first, second = (one.predict(observation, deterministic=True) for one in (bare, model))
        assert first[0] == second[0]
        tensor = torch.from_numpy(observation[None])
        values = (one.policy.predict_values(tensor) for one in (bare, model))
        assert torch.equal(*values)


def test_settings_of_the_optimizer_are_the_spec_s_and_its_moments_the_file_s(
    stock: Path, tmp_path: Path
) -> None:
    def slow_down(content: dict[str, bytes]) -> None:
        state = torch.load(io.BytesIO(content["policy.optimizer.pth"]), weights_only=True)
        state["param_groups"][0] |= {"lr": 0.5, "betas": "nonsense", "weight_decay": 9.0}
        content["policy.optimizer.pth"] = saved(state)

    path = rewritten(stock, tmp_path / "model.zip", slow_down)
    model = model_of("ppo", **networks_of(models.read(path), "ppo").hyperparameters)
    before = model.policy.optimizer.state_dict()["param_groups"]
    load_weights(model, path, sha256_of(path))
    after = model.policy.optimizer.state_dict()
    assert after["param_groups"] == before
    assert all_equal(after["state"], PPO.load(stock).policy.optimizer.state_dict()["state"])


class Touches:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.path}",)


def evil_data(content: dict[str, bytes], mark: Path) -> None:
    data = orjson.loads(content["data"])
    code = base64.b64encode(cloudpickle.dumps(Touches(mark))).decode()
    data = {name: {":type:": "x", ":serialized:": code, "__module__": "x"} for name in data}
    content["data"] = orjson.dumps(data)


def test_pickles_in_the_settings_are_never_run(stock: Path, tmp_path: Path) -> None:
    mark = tmp_path / "owned"
    path = rewritten(stock, tmp_path / "model.zip", lambda content: evil_data(content, mark))
    file = models.read(path)
    assert file.algorithms == ()
    model = model_of("ppo", net_arch=[9, 5], critic_net_arch=[7])
    load_weights(model, path, file.sha256)
    assert not mark.exists()
    with warnings.catch_warnings(action="ignore"), suppress(Exception):
        PPO.load(path)
    assert mark.exists(), "the library itself would have run it"


def code_in_torch_s_zip(mark: Path) -> bytes:
    return as_state_dict(pickle.dumps({"a": Touches(mark)}, protocol=2))


def code_in_torch_s_old_format(mark: Path) -> bytes:
    target = io.BytesIO()
    torch.save({"a": Touches(mark)}, target, _use_new_zipfile_serialization=False)
    return target.getvalue()


def bare_pickle(mark: Path) -> bytes:
    return pickle.dumps(Touches(mark))


def code_behind_a_state_dict(mark: Path) -> bytes:
    """The state dict comes first, and the code in the attributes that it is given."""
    state = collections.OrderedDict()
    state["w"] = 1
    state.__dict__["_metadata"] = Touches(mark)
    return as_state_dict(pickle.dumps(state, protocol=2))


@pytest.mark.parametrize(
    "make",
    [code_in_torch_s_zip, code_in_torch_s_old_format, bare_pickle, code_behind_a_state_dict],
)
@pytest.mark.parametrize("member", ["policy", "policy.optimizer", "pytorch_variables"])
def test_a_state_dict_that_would_run_code_is_refused_and_leaves_no_trace(
    stock: Path, tmp_path: Path, make: Callable[[Path], bytes], member: str
) -> None:
    mark = tmp_path / "owned"
    path = rewritten(
        stock,
        tmp_path / "model.zip",
        lambda content: content.update({f"{member}.pth": make(mark)}),
    )
    model = model_of("ppo", net_arch=[9, 5], critic_net_arch=[7])
    for look in (models.read, lambda path: load_weights(model, path, sha256_of(path))):
        with pytest.raises(RefusedFile, match=r"names 'posix\.system'|1\.6"):
            look(path)
    assert not mark.exists()


def described(shape: str, stride: str, length: int = 4, storage: str = "FloatStorage") -> bytes:
    """A pickle of one tensor in protocol 0's text, with numbers of one's own."""
    return (
        b"\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n("
        b"(X\x07\x00\x00\x00storagectorch\n" + storage.encode() + b"\nX\x01\x00\x00\x000"
        b"X\x03\x00\x00\x00cpuJ"
        + struct.pack("<i", length)
        + b"tQK\x00"
        + shape.encode("latin-1")
        + stride.encode("latin-1")
        + b"\x89}tRs."
    )


@pytest.mark.parametrize(
    ("pickled", "said"),
    [
        (described("K\x05\x85", "K\x01\x85"), "beyond its numbers"),
        (described("K\x05\x85", "K\x00\x85"), "beyond its numbers"),
        (described("K\x02\x85", "K\x01\x85", length=10**9), "says 4000000000 bytes"),
        (described("K\x02\x85", "K\x01\x85", storage="DoubleStorage"), "says 32 bytes"),
        (described("J\xff\xff\xff\xff\x85", "K\x01\x85"), "whole numbers"),
        (
            described("K\x02\x85", "K\x01\x85", storage="QInt8Storage"),
            "names 'torch.QInt8Storage'",
        ),
        (b"\x80\x02}(K\x01K\x01\x86K\x01\x86K\x01u.", "neither text nor a number"),
        (b"\x80\x04}.", "protocol 4"),
        (b"\x80\x02\x95\xff\xff\xff\xff\xff\xff\xff\x7f.", "no state dict does .FRAME"),
        (b"\x80\x02B\xff\xff\xff\x7fabc.", "is damaged"),
        (b"\x80\x02h\x07.", "is damaged"),
        (b"\x80\x02}", "is damaged"),
        (b"", "in 0 bytes"),
    ],
)
def test_a_state_dict_that_lies_is_refused(
    stock: Path, tmp_path: Path, pickled: bytes, said: str
) -> None:
    path = rewritten(
        stock,
        tmp_path / "model.zip",
        lambda content: content.update({"policy.pth": as_state_dict(pickled)}),
    )
    with pytest.raises(RefusedFile, match=said):
        models.read(path)


def test_a_state_dict_described_by_hand_is_read(stock: Path, tmp_path: Path) -> None:
    sound = as_state_dict(described("K\x02K\x02\x86", "K\x02K\x01\x86"))
    path = rewritten(
        stock, tmp_path / "model.zip", lambda content: content.update({"policy.pth": sound})
    )
    assert models.read(path).policy == {"w": (2, 2)}


def zip_of(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return target.getvalue()


def twice() -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive, warnings.catch_warnings(action="ignore"):
        archive.writestr("policy.pth", b"one")
        archive.writestr("policy.pth", b"two")
    return target.getvalue()


def patched(data: bytes, offset: int, value: bytes) -> bytes:
    """Change the entry of a zip's directory, which is at the end of a small file."""
    entry = data.rindex(b"PK\x01\x02") + offset
    return data[:entry] + value + data[entry + len(value) :]


PLAIN = zip_of({"policy.pth": b"weights"})
SIZE, FLAGS, NAME = 24, 8, 46  # Where a directory entry says them.
BAD_ZIPS = {
    "nothing": (b"", "not a sound zip file"),
    "text": (b"weights, honestly" * 100, "not a sound zip file"),
    "truncated": (PLAIN[:-5], "not a sound zip file"),
    "bomb": (zip_of({"data": bytes(8 << 20)}, zipfile.ZIP_DEFLATED), "more than 100 times"),
    "claims 4 GB": (patched(PLAIN, SIZE, b"\xfe\xff\xff\xff"), "not a sound zip|is damaged"),
    "claims less": (patched(PLAIN, SIZE, b"\x02\x00\x00\x00"), "not a sound zip file"),
    "encrypted": (patched(PLAIN, FLAGS, b"\x01\x00"), "is encrypted"),
    "other method": (zip_of({"data": b"{}"}, zipfile.ZIP_BZIP2), "neither stored nor deflated"),
    "another name within": (patched(PLAIN, NAME, b"data......"), "does not belong there"),
    "twice": (twice(), "two members 'policy.pth'"),
    "upwards": (zip_of({"../policy.pth": b""}), r"'\.\./policy\.pth', which does not belong"),
    "absolute": (zip_of({"/etc/passwd": b""}), "does not belong there"),
    "folder": (zip_of({"policy/": b""}), "does not belong there"),
    "backslash": (zip_of({"..\\policy.pth": b""}), "does not belong there"),
    "normalisation": (zip_of({"vecnormalize.pkl": b"x"}), "does not belong there"),
    "many": (zip_of({f"{n}": b"" for n in range(10_001)}), "more than 10000 members"),
    "no networks": (zip_of({"data": b"{}"}), "no policy.pth"),
    "no JSON": (zip_of({"data": b"{", "policy.pth": b""}), "not JSON"),
}


@pytest.mark.parametrize("case", BAD_ZIPS)
def test_what_is_no_sound_model_file_is_refused_in_words(case: str, tmp_path: Path) -> None:
    data, said = BAD_ZIPS[case]
    path = tmp_path / "model.zip"
    path.write_bytes(data)
    with pytest.raises(RefusedFile, match=said):
        models.read(path)


def test_bytes_are_counted_while_they_are_read(
    stock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size_bytes = stock.stat().st_size
    for name, said in (("MAX_TOTAL_BYTES", "unpacks to more"), ("MAX_FILE_BYTES", "larger than")):
        with monkeypatch.context() as patch:
            patch.setattr(f"apps.foreign.archives.{name}", size_bytes // 2)
            with pytest.raises(RefusedFile, match=said):
                models.read(stock)


@pytest.mark.parametrize(
    ("algorithm", "hyperparameters", "said"),
    [
        ("ppo", {}, r"policy_net\.0\.weight is \(9, 4\) in the file and \(64, 4\) here.*more"),
        ("a2c", {"net_arch": [9, 5], "critic_net_arch": [7]}, "another kind of optimizer"),
        ("dqn", {}, "is absent in the file"),
        ("ars", {}, "the file holds policy, policy.optimizer and this model policy"),
    ],
)
def test_what_does_not_fit_is_refused_and_says_how(
    stock: Path, algorithm: str, hyperparameters: dict[str, Any], said: str
) -> None:
    with pytest.raises(RefusedFile, match=said):
        load_weights(model_of(algorithm, **hyperparameters), stock, sha256_of(stock))


def test_another_file_than_the_recorded_one_is_refused(stock: Path, tmp_path: Path) -> None:
    for path in (stock, tmp_path / "nowhere.zip"):
        with pytest.raises(RefusedFile, match="not the file that was recorded"):
            load_weights(model_of("ppo"), path, "0" * 64)


@pytest.mark.parametrize("harm", ["networks", "moments"])
def test_a_model_that_has_diverged_is_refused(stock: Path, tmp_path: Path, harm: str) -> None:
    member = "policy.pth" if harm == "networks" else "policy.optimizer.pth"

    def spoil(content: dict[str, bytes]) -> None:
        state = torch.load(io.BytesIO(content[member]), weights_only=True)
        broken = state["value_net.bias"] if harm == "networks" else state["state"][0]["exp_avg"]
        broken.fill_(float("nan"))
        content[member] = saved(state)

    path = rewritten(stock, tmp_path / "model.zip", spoil)
    model = model_of("ppo", **networks_of(models.read(path), "ppo").hyperparameters)
    with pytest.raises(RefusedFile, match="NaN or infinity"):
        load_weights(model, path, sha256_of(path))


def test_a_file_whose_networks_no_spec_can_describe_is_refused(tmp_path: Path) -> None:
    for kwargs, said in (
        ({"activation_fn": torch.nn.LeakyReLU}, "LeakyReLU.*; known here are Tanh"),
        ({"net_arch": []}, "no hidden layer"),
    ):
        model = PPO("MlpPolicy", "CartPole-v1", policy_kwargs=kwargs)
        model.save(tmp_path / "model.zip")
        with pytest.raises(RefusedFile, match=said):
            networks_of(models.read(tmp_path / "model.zip"), "ppo")


def test_the_same_networks_of_other_algorithms_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "model.zip"
    A2C("MlpPolicy", "CartPole-v1").save(path)
    assert models.read(path).algorithms == ("a2c",)
    SAC("MlpPolicy", "Pendulum-v1", ent_coef=0.2, buffer_size=10).save(path)
    file = models.read(path)
    assert (file.algorithms, networks_of(file, "sac").hyperparameters["ent_coef"]) == (
        ("sac",),
        0.2,
    )
    with pytest.raises(RefusedFile, match="not those of DQN"):
        networks_of(file, "dqn")


@pytest.fixture(scope="module")
def like_stock(stock: Path) -> BaseAlgorithm:
    return model_of("ppo", **networks_of(models.read(stock), "ppo").hyperparameters)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_flipped_bytes_load_the_same_or_are_refused(
    stock: Path, like_stock: BaseAlgorithm, tmp_path: Path, data: st.DataObject
) -> None:
    content = bytearray(stock.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path = tmp_path / "flipped.zip"
    path.write_bytes(content)
    try:
        load_weights(like_stock, path, sha256_of(path))
    except RefusedFile:
        return
    assert all_equal(like_stock.policy.state_dict(), PPO.load(stock).policy.state_dict())


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_state_dict_of_flipped_bytes_is_read_or_refused(
    stock: Path, like_stock: BaseAlgorithm, tmp_path: Path, data: st.DataObject
) -> None:
    """Beneath the checksums, where a stranger would change it."""

    def flip(content: dict[str, bytes]) -> None:
        name = data.draw(st.sampled_from(["policy.pth", "policy.optimizer.pth"]))
        with zipfile.ZipFile(io.BytesIO(content[name])) as archive:
            parts = {inner: archive.read(inner) for inner in archive.namelist()}
        pickled = bytearray(parts["archive/data.pkl"])
        for _ in range(data.draw(st.integers(1, 3))):
            pickled[data.draw(st.integers(0, len(pickled) - 1))] = data.draw(st.integers(0, 255))
        content[name] = zip_of({**parts, "archive/data.pkl": bytes(pickled)})

    path = rewritten(stock, tmp_path / "flipped.zip", flip)
    with suppress(RefusedFile):
        networks_of(models.read(path), "ppo")
        load_weights(like_stock, path, sha256_of(path))


NAMES = [
    "action_net.weight",
    "action_net.0.weight",
    "mlp_extractor.policy_net.0.weight",
    "log_std",
    "mlp_extractor.value_net.2.weight",
    "actor.mu.weight",
    "actor.mu.0.weight",
    "critic.weight",
    "actor.latent_pi.0.weight",
    "critic.qf0.0.weight",
    "q_net.q_net.0.weight",
    "quantile_net.quantile_net.7.weight",
    "lstm_actor.weight_ih_l0",
    "features_extractor.cnn.x",
]
SHAPES = st.lists(st.integers(0, 9), max_size=3).map(tuple).map(TensorShape)
ODD = st.one_of(st.none(), st.integers(), st.text(max_size=9), st.lists(st.none(), max_size=2))
SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        name: ODD | st.dictionaries(st.sampled_from(["activation_fn", "__module__"]), ODD)
        for name in ("policy_class", "policy_kwargs", "n_quantiles", "ent_coef")
    },
)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([*ALGORITHMS]),
    st.dictionaries(st.sampled_from(NAMES), SHAPES),
    ODD | st.fixed_dictionaries({"state": ODD | st.fixed_dictionaries({0: ODD})}),
    SETTINGS,
)
def test_whatever_shapes_a_file_has_they_are_told_or_refused(
    algorithm: str, policy: dict[str, TensorShape], optimizer: Any, told: dict[str, Any]
) -> None:
    file = ModelFile("", 0, {"policy": policy, "policy.optimizer": optimizer}, told)
    assert set(file.algorithms) <= set(ALGORITHMS)
    with suppress(RefusedFile):
        networks_of(file, algorithm)
