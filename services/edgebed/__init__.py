"""edgebed: a testbed for decentralised task offloading among cooperative edge nodes.

One experiment file describes a network, its tasks and the methods to compare; the same file runs in a fast
simulator, as processes on one machine, or as pods on Kubernetes. The rooms of this package import downwards only
(`pyproject.toml`, import contracts):

    cli                                             what people type
    controller, edge_node, task_generator, trainer  services: an HTTP app and a driver each
    runner                                          the phases of one experiment on one backend
    learning, simulator, emulation                  the three crafts, which do not know each other
    experiment, stores, wire                        documents, data, messages
    systems                                         the offloading models, pure: no I/O, no clock
"""

__version__ = "0.1.0"
