"""The cooperative system: N fully connected edge nodes that execute their tasks or send them once to another node.

Source: Lin, Yang, Guo, Cao, "Decentralized Task Offloading in Edge Computing: An Offline-to-Online Reinforcement
Learning Approach", IEEE Transactions on Computers 2024, sections III to VI. Equation numbers in this package are
the paper's. The page `docs/model.md` states the model; the modules follow it:

    rules        what the paper leaves open, as fields
    network      nodes and links, drawn or given
    workload     arrivals and tasks, drawn or given, with the luck that each task carries
    lifecycle    the states of a task as a table
    node         one edge node as a pure state machine that is told the time
    virtual      drives node cores in virtual time: the reference for everything that is faster
    kernel       the node core's twin on arrays: many episodes at once
    log          what is recorded of every task
    observation  what a node sees; reward: what it is given
    conversion   log to transitions
    policy       the two-step protocol; policies/: the policies themselves
"""
