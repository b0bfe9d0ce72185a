"""The controller: takes experiments, drives the testbed through their phases, and keeps what the nodes record.

What belongs here: who is there, what they are told and when, and whether every task is accounted for. What does not: which
phases an experiment has (`runner`), how a policy is learned (the trainer), what an episode is on a node (`edge_node`).

    registry      who is there, and configuration that is pushed: the embedded coordinator over HTTP
    ingest        task records into the log, off the hot path
    remote        the control APIs of other services, with every wait limited
    fleet         the nodes of one network: all asked at once, and who is lost
    deployment    configuration and scheduler on every node, acknowledged
    episode       the plan of an episode, and the account of its tasks
    testbed       plays episodes
    ground        the testbed as the runner sees it
    fidelity      a phase's log against the simulator's
    experiments   which experiments there are, and how far they are
    phases        the thread that runs one
    api           the same over HTTP, with a stream of events
    app           everything above as one application; main is its process
"""
