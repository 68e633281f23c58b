"""Give a model the networks and optimizers of a model file, and nothing else of it.

The model is built from our own spec. Nothing of the file is unpickled: its parts are checked and
written anew (`foreign.models`), then read as tensors, compared with the model's, and copied.
"""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.save_util import load_from_zip_file, recursive_getattr

from apps.errors import RefusedFile
from apps.foreign import models
from apps.rundir.files import sha256_of

SHOWN_DIFFERENCES = 3
TORCH_ERRORS = (
    RuntimeError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    AssertionError,
    EOFError,
    ArithmeticError,
    pickle.UnpicklingError,
)


def load_weights(model: BaseAlgorithm, path: Path, sha256: str) -> None:
    """Give a new model the networks and optimizers of a model file.

    The moments of the optimizers come from the file, their settings from the spec.

    Args:
        model: A model that was just built.
        path: The file.
        sha256: Its hash as it was recorded.

    Raises:
        RefusedFile: It is missing or another file now, is not safe to read, or does not fit the
            model.
    """
    if not path.exists() or sha256_of(path) != sha256:
        raise RefusedFile(f"{path.name} is gone or is not the file that was recorded")
    copy = models.clean_copy(path)
    try:
        _, parameters, variables = load_from_zip_file(copy, device=model.device, load_data=False)
    except TORCH_ERRORS as error:
        raise RefusedFile(f"torch cannot read the file: {error}") from error
    checked = _checked(model, parameters)
    tensors = _checked_variables(model, variables or {})
    try:
        model.set_parameters(checked, exact_match=True, device=model.device)
    except TORCH_ERRORS as error:
        raise RefusedFile(f"the file does not fit the model: {error}") from error
    for name, tensor in tensors.items():
        own = recursive_getattr(model, name)
        if own.requires_grad:  # What is learnt; the rest is a setting, which the spec has.
            own.data.copy_(tensor)


def _checked(model: BaseAlgorithm, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the file's state dicts, of which only tensors that fit the model's are kept."""
    own = model.get_parameters()
    if parameters.keys() != own.keys():
        raise RefusedFile(
            f"the file holds {', '.join(sorted(parameters))} and this model "
            f"{', '.join(sorted(own))}; is it another algorithm's, or ent_coef learnt in one of "
            "them and fixed in the other?"
        )
    found = {}
    for name, state in parameters.items():
        part = recursive_getattr(model, name)
        if isinstance(part, torch.optim.Optimizer):
            found[name] = _checked_optimizer(name, part, state)
        else:
            _compare(_tensors(name, state), own[name])
            found[name] = dict(state)
    return found


def _checked_variables(
    model: BaseAlgorithm, variables: Mapping[str, Any]
) -> dict[str, torch.Tensor]:
    own = {name: recursive_getattr(model, name).data for name in model._get_torch_save_params()[1]}
    _compare(_tensors("variables", variables), own)
    return dict(variables)


def _tensors(what: str, state: Any) -> dict[str, torch.Tensor]:
    """Return a state dict that holds finite tensors and nothing else."""
    if not isinstance(state, Mapping) or not all(
        isinstance(value, torch.Tensor) for value in state.values()
    ):
        raise RefusedFile(f"{what} in the file is not tensors by name")
    for name, tensor in state.items():
        if not torch.isfinite(tensor).all():
            raise RefusedFile(f"{name} in the file holds NaN or infinity: that model has diverged")
    return dict(state)


def _compare(theirs: Mapping[str, torch.Tensor], ours: Mapping[str, torch.Tensor]) -> None:
    """Refuse tensors that differ in name or shape, and say how."""
    differences = [
        f"{name} is {_shape(theirs.get(name))} in the file and {_shape(ours.get(name))} here"
        for name in [*ours, *(name for name in theirs if name not in ours)]
        if _shape(theirs.get(name)) != _shape(ours.get(name))
    ]
    if differences:
        more = len(differences) - SHOWN_DIFFERENCES
        raise RefusedFile(
            "the file's networks are not of the shapes that this spec and environment make: "
            + "; ".join(differences[:SHOWN_DIFFERENCES])
            + (f"; and {more} more" if more > 0 else "")
        )


def _shape(tensor: torch.Tensor | None) -> str:
    return "absent" if tensor is None else str(tuple(tensor.shape))


def _checked_optimizer(name: str, optimizer: torch.optim.Optimizer, state: Any) -> dict[str, Any]:
    """Return an optimizer's state whose moments are the file's and whose settings are ours."""
    ours = optimizer.state_dict()["param_groups"]
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    moments = state.get("state") if isinstance(state, dict) else None
    if not isinstance(moments, dict) or not set(moments) <= set(range(len(parameters))):
        raise RefusedFile(f"{name} in the file is not the state of {len(parameters)} parameters")
    expected = _names_kept_by(optimizer)
    for index, values in moments.items():
        if not isinstance(values, dict) or set(values) != expected:
            raise RefusedFile(
                f"{name} in the file is another kind of optimizer: this model's keeps "
                f"{', '.join(sorted(expected))}"
            )
        numbers = {key: torch.as_tensor(value) for key, value in values.items()}
        _tensors(name, numbers)
        for tensor in numbers.values():
            if tensor.shape not in {torch.Size([]), parameters[index].shape}:
                raise RefusedFile(f"{name} in the file has moments of other shapes than its model")
    return {"state": moments, "param_groups": ours}


def _names_kept_by(optimizer: torch.optim.Optimizer) -> set[str]:
    """Return what an optimizer keeps of each parameter, told by one step of its like."""
    parameter = torch.nn.Parameter(torch.zeros(1))
    parameter.grad = torch.zeros(1)
    kind: Any = type(optimizer)
    like = kind([parameter], **optimizer.defaults)
    like.step()
    return set(like.state[parameter])
