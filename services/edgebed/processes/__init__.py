"""The processes backend: all services of an experiment as processes of this machine, with no orphan left behind.

What belongs here: starting, watching and ending processes, and running an experiment or a replay on them. What does not:
what a service does (its own room).

    zygote    the preloaded parent from which the services are forked
    family    the zygote's handle: start and watch services, end them all
    run       an experiment on a family
    replay    a case on a family
    doctor    whether the stores, and this machine, are fit for it
"""
