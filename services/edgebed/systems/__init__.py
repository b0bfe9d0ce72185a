"""Offloading systems, one package each: model, kernel, observation, reward and policies.

What belongs here: pure functions and plain values that say how a system behaves. What does not: files, sockets,
clocks, pydantic, torch, and imports of one system from another.
"""
