"""Learning: networks, one file per algorithm, and checkpoints that resume to the exact next update.

What belongs here: what turns `Transitions` into actors, with torch. What does not: how transitions come about (the
simulator, the testbed), files' places, HTTP, pydantic. Algorithms share what is the same by definition (networks,
optimiser, checkpoints) and differ openly otherwise; each reads from top to bottom:

    settings     what both can be told, without torch
    sac_cql      Algorithm 1: offline, from a log
    ppo          Algorithm 2: online, from fresh episodes

Gradients are written out by hand: the networks are small, and autograd, modules and per-tensor optimisers would take
most of the time. `tests/benchmarks/plain_sac_cql.py` is the same with all three; a test holds the two equal.
"""
