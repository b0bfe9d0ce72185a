"""The simulator: batched rollouts of policies over a system's kernel, and a PettingZoo environment.

What belongs here: running many episodes at once and returning their task logs. What does not: training, files,
specifications, HTTP.
"""
