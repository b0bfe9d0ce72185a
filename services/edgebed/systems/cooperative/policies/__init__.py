"""The policies that come with the cooperative system, one file each.

What belongs here: classes of `policy.Policy` that are found under the entry-point group `edgebed.policies`. A policy
decides from a view and its answers alone; what it prepares, it prepares in its constructor.
"""
