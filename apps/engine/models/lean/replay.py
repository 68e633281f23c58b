"""DQN, TD3 and DDPG: what they share with SAC, and their updates.

The classes are Stable-Baselines3's own with `train` written out, and how actions are drawn. What
is not written out (images, dictionaries, another optimizer, a GPU) takes the library's own.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3 import DDPG, DQN, TD3
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.policies import BaseModel
from stable_baselines3.common.torch_layers import FlattenExtractor
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from stable_baselines3.dqn.policies import DQNPolicy
from stable_baselines3.sac.policies import SACPolicy
from stable_baselines3.td3.policies import TD3Policy
from torch import Tensor, nn
from torch.nn import functional

from apps.engine.models.lean.network import Network, checked, is_plain
from apps.engine.models.lean.steps import Gradients, average_into, has_plain_step, step_of

_aten = torch.ops.aten
ONE = torch.ones(())
_MEAN = 1  # How a loss's kernel is told to reduce.


class Learner:
    """Networks that one optimizer moves, and the targets that follow them."""

    def __init__(
        self,
        networks: Sequence[nn.Module],
        targets: Sequence[nn.Module],
        optimizer: torch.optim.Optimizer,
    ) -> None:
        parameters: list[Tensor] = [each for one in networks for each in one.parameters()]
        self._parameters = parameters
        self._target_parameters: list[Tensor] = [
            each for one in targets for each in one.parameters()
        ]
        self.gradients = Gradients(parameters)
        self.networks = [Network(_layers(one), self.gradients) for one in networks]
        self.targets = [Network(_layers(one)) for one in targets]
        self.optimizer = optimizer
        self.step = step_of(optimizer, parameters)

    def least_target(self, observations: Tensor, actions: Tensor) -> Tensor:
        """Return the least that target critics say of actions, (batch, 1)."""
        read = torch.cat([observations, actions], dim=1)
        return torch.cat([target(read) for target in self.targets], dim=1).min(1, keepdim=True)[0]

    def take_step(self) -> None:
        """Move the networks against the gradients that were written."""
        self.step.take(self.gradients)

    def average(self, tau: float) -> None:
        """Move the targets towards the networks."""
        average_into(self._target_parameters, self._parameters, tau)


class LeanReplay(OffPolicyAlgorithm):
    """What is written out of a model, made anew when a checkpoint replaced its optimizers.

    None of its layers works otherwise in training mode, so the mode is left as it is.
    """

    _lean: tuple[Learner, ...] | None = None
    _may_be_lean = True

    def learners(self) -> tuple[Learner, ...]:
        """Write the policy out."""
        raise NotImplementedError

    def explore(self, lean: tuple[Learner, ...], observations: Any) -> Any:
        """Draw actions for the observations of all environments."""
        raise NotImplementedError

    def learn_once(
        self, lean: tuple[Learner, ...], index: int, batch: ReplayBufferSamples
    ) -> dict[str, Tensor]:
        """Take one gradient step.

        Args:
            lean: The policy written out.
            index: How many were taken in this `train`.
            batch: What it learns from.

        Returns:
            Losses before the step, by the names that the library logs them under.
        """
        raise NotImplementedError

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "_lean", "_may_be_lean"]

    def get_parameters(self) -> dict[str, dict[str, Any]]:
        """Return what is saved, with the optimizers brought up to date."""
        for learner in self._lean or ():
            learner.step.finish()
        return super().get_parameters()

    def up_to_date(self) -> tuple[Learner, ...] | None:
        """Return the policy written out, None where it cannot be."""
        is_current = self._lean is not None and all(one.step.is_current() for one in self._lean)
        if self._may_be_lean and not is_current:
            self._may_be_lean = self._can_be_lean()
            self._lean = self.learners() if self._may_be_lean else None
        return self._lean

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[Any, Any]:
        """Return actions as the library does; arguments are the library's."""
        is_exploring = observation is self._last_obs and not deterministic
        lean = self.up_to_date() if is_exploring else None
        if lean is None:
            return super().predict(observation, state, episode_start, deterministic)
        with torch.no_grad():
            return self.explore(lean, observation), state

    def train(self, gradient_steps: int, batch_size: int = 100) -> None:
        """Take gradient steps, as the library does."""
        lean = self.up_to_date()
        if lean is None:
            super().train(gradient_steps, batch_size)
            return
        self._update_learning_rate(self.optimizers(lean))
        losses: defaultdict[str, list[Tensor]] = defaultdict(list)
        with torch.no_grad():
            for index in range(gradient_steps):
                self._n_updates += 1
                for name, loss in self.learn_once(lean, index, self.sample(batch_size)).items():
                    losses[name].append(loss)
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        for name, values in losses.items():
            self.logger.record(name, np.mean([value.item() for value in values]))

    def optimizers(self, lean: tuple[Learner, ...]) -> list[torch.optim.Optimizer]:
        """Return those whose learning rate is scheduled."""
        return [learner.optimizer for learner in lean]

    def _can_be_lean(self) -> bool:
        if type(self.policy) not in {DQNPolicy, TD3Policy, SACPolicy} or self.use_sde:
            return False
        parts = self._parts()
        networks = [net for part in parts for net in part.children() if [*net.parameters()]]
        optimizers = [one.optimizer for one in (self.policy, *parts) if hasattr(one, "optimizer")]
        return (
            self.device.type == "cpu"
            and all(type(part.features_extractor) is FlattenExtractor for part in parts)
            and all(is_plain(_layers(net)) for net in networks)
            and all(map(has_plain_step, optimizers))
        )

    def _parts(self) -> list[BaseModel]:
        return [part for part in self.policy.children() if isinstance(part, BaseModel)]

    def sample(self, batch_size: int) -> ReplayBufferSamples:
        """Draw transitions with observations as the networks read them."""
        assert self.replay_buffer is not None
        batch = self.replay_buffer.sample(batch_size, env=self._vec_normalize_env)
        return batch._replace(
            observations=self.features(batch.observations),
            next_observations=self.features(batch.next_observations),
        )

    def features(self, observations: Any) -> Tensor:
        """Return what the networks read of observations, (batch, features)."""
        space = self.observation_space
        if isinstance(space, spaces.Box) and len(space.shape) == 1:
            return observations.float()  # type: ignore[no-any-return]
        part = self._parts()[0]
        return part.extract_features(observations, part.features_extractor)  # type: ignore[arg-type]

    def unscaled(self, actions: Tensor) -> Any:
        """Return actions from -1 to 1 as the environments take them."""
        shaped = checked(actions).numpy().reshape(-1, *self.action_space.shape)  # type: ignore[misc]
        return self.policy.unscale_action(shaped)

    def wanted(self, batch: ReplayBufferSamples, next_values: Tensor) -> Tensor:
        """Return what the critics should have said, (batch, 1)."""
        discounts = self.gamma if batch.discounts is None else batch.discounts
        return batch.rewards + (1 - batch.dones) * discounts * next_values


class LeanDQN(LeanReplay, DQN):
    """Stable-Baselines3's DQN; see the module's words."""

    def learners(self) -> tuple[Learner, ...]:
        """Write the Q-network out."""
        networks = [self.q_net.q_net], [self.q_net_target.q_net]
        return (Learner(*networks, self.policy.optimizer),)

    def explore(self, lean: tuple[Learner, ...], observations: Any) -> Any:
        """Draw actions, epsilon-greedily."""
        if np.random.rand() < self.exploration_rate:  # noqa: NPY002 - as the library
            return np.array([self.action_space.sample() for _ in observations])
        values = lean[0].networks[0](self.features(torch.as_tensor(observations)))
        return checked(values).argmax(dim=1).numpy()

    def learn_once(
        self, lean: tuple[Learner, ...], index: int, batch: ReplayBufferSamples
    ) -> dict[str, Tensor]:
        """Move the Q-network towards what its target says of the next observations."""
        (learner,) = lean
        (online,), (target,) = learner.networks, learner.targets
        next_values = target(batch.next_observations).max(dim=1)[0].reshape(-1, 1)
        wanted = self.wanted(batch, next_values)
        seen = online.forward(batch.observations)
        actions = batch.actions.long()
        values = seen[-1].gather(1, actions)
        grad = _aten.smooth_l1_loss_backward(ONE, values, wanted, _MEAN, 1.0)
        online.backward(torch.zeros_like(seen[-1]).scatter_(1, actions, grad), seen)
        learner.gradients.clip(self.max_grad_norm)
        learner.take_step()
        return {"train/loss": functional.smooth_l1_loss(values, wanted)}


class LeanTD3(LeanReplay, TD3):
    """Stable-Baselines3's TD3; see the module's words."""

    def learners(self) -> tuple[Learner, ...]:
        """Write actor and critics out."""
        critics = self.critic.q_networks, self.critic_target.q_networks
        return (
            Learner([self.actor.mu], [self.actor_target.mu], self.actor.optimizer),
            Learner(*critics, self.critic.optimizer),
        )

    def explore(self, lean: tuple[Learner, ...], observations: Any) -> Any:
        """Ask the actor, whose actions the library adds noise to."""
        actions = lean[0].networks[0](self.features(torch.as_tensor(observations)))
        return self.unscaled(actions)

    def learn_once(
        self, lean: tuple[Learner, ...], index: int, batch: ReplayBufferSamples
    ) -> dict[str, Tensor]:
        """Move the critics; now and then the actor and all targets."""
        actor, critic = lean
        losses = {"train/critic_loss": self._learn_values(actor, critic, batch)}
        if self._n_updates % self.policy_delay == 0:
            losses["train/actor_loss"] = _learn_actions(actor, critic, batch.observations)
            critic.average(self.tau)
            actor.average(self.tau)
        return losses

    def _learn_values(self, actor: Learner, critic: Learner, batch: ReplayBufferSamples) -> Tensor:
        """Move the critics one step; return their loss before it."""
        noise = batch.actions.clone().normal_(0, self.target_policy_noise)
        noise = noise.clamp(-self.target_noise_clip, self.target_noise_clip)
        next_actions = (actor.targets[0](batch.next_observations) + noise).clamp(-1, 1)
        next_values = critic.least_target(batch.next_observations, next_actions)
        return fit(critic, batch, self.wanted(batch, next_values), ONE)


class LeanDDPG(LeanTD3, DDPG):
    """Stable-Baselines3's DDPG, which is TD3 without its tricks."""


def fit(critic: Learner, batch: ReplayBufferSamples, wanted: Tensor, weight: Tensor) -> Tensor:
    """Move critics one step towards values; return the sum of their mean squared errors.

    Args:
        critic: The critics.
        batch: What they read.
        wanted: Shape (batch, 1).
        weight: Scalar that each error counts with.
    """
    read = torch.cat([batch.observations, batch.actions], dim=1)
    loss = torch.zeros(())
    for network in critic.networks:
        seen = network.forward(read)
        network.backward(_aten.mse_loss_backward(weight, seen[-1], wanted, _MEAN), seen)
        loss = loss + functional.mse_loss(seen[-1], wanted)
    critic.take_step()
    return loss


def _learn_actions(actor: Learner, critic: Learner, observations: Tensor) -> Tensor:
    """Move a deterministic actor one step towards what the first critic likes; return its loss."""
    (policy,), value = actor.networks, critic.networks[0]
    seen = policy.forward(observations)
    judged = value.forward(torch.cat([observations, seen[-1]], dim=1))
    grad = torch.full_like(judged[-1], -1.0) / len(observations)
    grad = value.backward_to_inputs(grad, judged)[:, observations.shape[1] :]
    policy.backward(grad, seen)
    actor.take_step()
    return -judged[-1].mean()


def _layers(network: nn.Module) -> list[nn.Module]:
    return [network] if isinstance(network, nn.Linear) else [*network.children()]
