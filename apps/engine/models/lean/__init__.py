"""Stable-Baselines3's algorithms in lean loops: the same arithmetic, with less around it.

Each function calls the kernels that autograd and `torch.optim` call, on the same numbers and in
the same order of additions. So policy, random draws, logged scalars and what is saved are the
library's, bit for bit, but for moments of the optimizer below 1.2e-38 (`steps`). What is left out
is what surrounds the kernels: graph nodes, distribution objects with their checks, gradients that
nobody uses, a Python loop over parameters.

`on_policy` has PPO and A2C, `replay` DQN, TD3 and DDPG, `sac` SAC. They are built of `network` (a
perceptron), `policy` (an actor, a critic and a head) and `steps` (Adam and RMSprop).
`device_buffer` keeps rollouts on a GPU.
"""
