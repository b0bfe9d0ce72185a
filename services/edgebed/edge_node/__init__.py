"""The edge node: one node core on the wall clock, with real bytes, real work and real messages.

What belongs here: performing the effects of `systems.cooperative.node`, and telling it what happened. What does not: any
rule of the model, how bytes are paced (`emulation.links`), what a task does (`emulation.applications`).

    configuration   what a node is told before it works, as the bodies of its control API
    episode         drives one node core through one episode
    scheduler       asks other nodes and decides, with the policy in use
    view            what the policy sees
    recorder        task records to the log, through an outage too
    spool           what the recorder keeps on disk
    measurements    what the node measured of itself
    service         configuration, scheduler and episode of one process
    app             the same over HTTP
"""
