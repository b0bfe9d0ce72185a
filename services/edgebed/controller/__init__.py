"""The controller: takes experiments, drives the testbed through their phases, and keeps what the nodes record.

What belongs here: who is there, what they are told and when, and whether every task is accounted for. What does not: which
phases an experiment has (`runner`), how a policy is learned (the trainer), what an episode is on a node (`edge_node`).

    registry      who is there, and configuration that is pushed: the embedded coordinator over HTTP
    directory     which registered processes make the testbed
    ingest        task records into the log, off the hot path
    remote        the control APIs of other services, with every wait limited
    fleet         the nodes of one network: all asked at once, and who is lost
    watch         looks at the nodes while an episode runs
    deployment    configuration and scheduler on every node, acknowledged
    episode       one episode on paper: its plan
    round         one episode on the wall clock
    account       one episode when it is over: every task, and what is kept
    testbed       the three above, for the nodes of a replicate
    ground        the testbed as the runner sees it
    fidelity      an evaluation against the simulator, task by task
    teachers      the trainer as the runner sees it
    phases        all phases of an experiment
    publication   what a finished experiment leaves for others
    checks        an experiment before it runs
    status        how far it is, for people
    experiments   which experiments there are; the thread that runs one
    api           experiments over HTTP, with a stream of events
    documents     what was sent as an experiment: JSON or YAML, and what is wrong with it line by line
    files         what a run leaves for people, over HTTP
    page          a page for browsers
    metrics       for Prometheus
    alone         one controller at a time, where it is started again by others
    companion     what may work beside all this in the same process: the operator
    app           everything above as one application; main is its process
"""
