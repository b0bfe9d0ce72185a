"""Stores: where records, artefacts and settings are kept. A store does not know who uses it.

What belongs here: reading and writing what other rooms hold as values. What does not: what the values mean.
"""
