"""Environments of this process, one after the other: the library's DummyVecEnv with less copying.

The library copies what each environment says in depth, at every step, which costs a CartPole as
much as stepping it. Nobody here keeps what an environment says beyond the step.
"""

from typing import Any

from stable_baselines3.common.vec_env import DummyVecEnv


class InProcess(DummyVecEnv):
    """Steps as DummyVecEnv does and returns the same; infos are copied one level deep."""

    def step_wait(self) -> Any:
        """Step every environment; one whose episode has ended begins the next."""
        infos: list[dict[str, Any]] = []
        for place, env in enumerate(self.envs):
            observation, reward, is_terminated, is_truncated, said = env.step(self.actions[place])
            info = {**said, "TimeLimit.truncated": is_truncated and not is_terminated}
            is_done = is_terminated or is_truncated
            if is_done:
                info["terminal_observation"] = observation
                observation, self.reset_infos[place] = env.reset()
            self.buf_rews[place] = reward
            self.buf_dones[place] = is_done
            self._save_obs(place, observation)
            infos.append(info)
        self.buf_infos = infos
        return self._obs_from_buf(), self.buf_rews.copy(), self.buf_dones.copy(), [*infos]

    def _obs_from_buf(self) -> Any:
        if None in self.buf_obs:  # Observations are one array, not a dictionary of them.
            return self.buf_obs[None].copy()  # type: ignore[index]
        return super()._obs_from_buf()
