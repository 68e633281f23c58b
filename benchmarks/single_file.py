"""PPO for discrete actions in one file, as researchers write it by hand: a peer of the benchmarks.

Plain torch and Gymnasium's vector environments, nothing of ours: what a rollout gives is kept in
tensors, and each epoch goes through it in shuffled minibatches (arXiv:1707.06347).
"""

from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Discrete
from torch import Tensor, nn
from torch.distributions import Categorical


@dataclass(frozen=True, slots=True)
class Settings:
    """Hyperparameters, by the names that Stable-Baselines3 gives them."""

    environment: str
    total_timesteps: int
    n_envs: int
    n_steps: int
    batch_size: int
    n_epochs: int
    learning_rate: float
    clip_range: float
    gamma: float
    gae_lambda: float
    ent_coef: float = 0.0
    vf_coef: float = 0.5
    max_grad_norm: float = 0.5


def network(inputs: int, outputs: int, scale: float) -> nn.Sequential:
    """Return two hidden layers of 64, with orthogonal weights."""
    layers = [nn.Linear(inputs, 64), nn.Linear(64, 64), nn.Linear(64, outputs)]
    for layer, gain in zip(layers, (2**0.5, 2**0.5, scale), strict=True):
        nn.init.orthogonal_(layer.weight, gain)
        nn.init.zeros_(layer.bias)
    return nn.Sequential(layers[0], nn.Tanh(), layers[1], nn.Tanh(), layers[2])


class Rollout:
    """Tensors of one rollout, (steps, environments, ...)."""

    def __init__(self, settings: Settings, features: int) -> None:
        shape = (settings.n_steps, settings.n_envs)
        self.seen = torch.zeros((*shape, features))
        self.actions = torch.zeros(shape, dtype=torch.long)
        self.log_probs, self.rewards, self.begins, self.values = torch.zeros((4, *shape))

    def advantages(self, settings: Settings, last: Tensor, begins: Tensor) -> Tensor:
        """Return generalised advantages (arXiv:1506.02438)."""
        found, running = torch.zeros_like(self.rewards), torch.zeros(settings.n_envs)
        for step in reversed(range(settings.n_steps)):
            goes_on = 1.0 - begins
            delta = self.rewards[step] + settings.gamma * last * goes_on - self.values[step]
            running = delta + settings.gamma * settings.gae_lambda * goes_on * running
            found[step] = running
            last, begins = self.values[step], self.begins[step]
        return found


def train(settings: Settings, seed: int) -> int:
    """Train for whole rollouts, print the last 100 episodes' mean return, return the steps."""
    torch.manual_seed(seed)
    envs = gymnasium.make_vec(settings.environment, settings.n_envs, "sync")
    envs = gymnasium.wrappers.vector.RecordEpisodeStatistics(envs)
    features = int(np.prod(envs.single_observation_space.shape or ()))
    assert isinstance(envs.single_action_space, Discrete)
    actor = network(features, int(envs.single_action_space.n), 0.01)
    critic = network(features, 1, 1.0)
    parameters = [*actor.parameters(), *critic.parameters()]
    optimizer = torch.optim.Adam(parameters, settings.learning_rate, eps=1e-5)
    rollout = Rollout(settings, features)
    seen, begins = torch.tensor(envs.reset(seed=seed)[0]), torch.zeros(settings.n_envs)
    returns: list[float] = []
    rollouts = settings.total_timesteps // (settings.n_envs * settings.n_steps)
    for number in range(rollouts):
        left = 1.0 - number / rollouts
        optimizer.param_groups[0]["lr"] = left * settings.learning_rate
        for step in range(settings.n_steps):
            with torch.no_grad():
                chances: Any = Categorical(logits=actor(seen))
                action = chances.sample()
                rollout.values[step] = critic(seen).flatten()
                rollout.log_probs[step] = chances.log_prob(action)
            rollout.seen[step], rollout.actions[step], rollout.begins[step] = seen, action, begins
            observations, rewards, ended, cut, infos = envs.step(action.numpy())
            rollout.rewards[step] = torch.tensor(rewards)
            seen, begins = torch.tensor(observations), torch.tensor(ended | cut).float()
            if "episode" in infos:
                returns += infos["episode"]["r"][infos["_episode"]].tolist()
        with torch.no_grad():
            advantages = rollout.advantages(settings, critic(seen).flatten(), begins)
        update(settings, left, actor, critic, optimizer, rollout, advantages)
    envs.close()
    print(f"mean return {np.mean(returns[-100:]):.1f}")
    return rollouts * settings.n_envs * settings.n_steps


def update(
    settings: Settings,
    left: float,
    actor: nn.Module,
    critic: nn.Module,
    optimizer: torch.optim.Optimizer,
    rollout: Rollout,
    advantages: Tensor,
) -> None:
    """Go through a rollout in shuffled minibatches, some times."""
    seen, actions = rollout.seen.flatten(0, 1), rollout.actions.flatten()
    old_log_probs, gains = rollout.log_probs.flatten(), advantages.flatten()
    targets = gains + rollout.values.flatten()
    clip = left * settings.clip_range
    for _ in range(settings.n_epochs):
        order: Any = torch.randperm(len(gains))
        for part in order.split(settings.batch_size):
            chances: Any = Categorical(logits=actor(seen[part]))
            ratio = (chances.log_prob(actions[part]) - old_log_probs[part]).exp()
            gain = gains[part]
            gain = (gain - gain.mean()) / (gain.std() + 1e-8)
            surrogate = torch.min(gain * ratio, gain * ratio.clamp(1 - clip, 1 + clip)).mean()
            miss = (critic(seen[part]).flatten() - targets[part]).square().mean()
            loss = settings.vf_coef * miss - surrogate
            loss = loss - settings.ent_coef * chances.entropy().mean()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(
                [*actor.parameters(), *critic.parameters()], settings.max_grad_norm
            )
            optimizer.step()
