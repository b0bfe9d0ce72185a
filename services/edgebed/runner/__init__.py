"""The runner: the phases of one experiment on one backend.

What belongs here: which stage needs which, where a stage's randomness comes from, and running replicates side by side.
What does not: how a policy is learned, how an episode is played, how a result is drawn.

    setting    one replicate as values: network, tasks, rules, observation
    stages     collect, offline, online and evaluate, each a folder that is computed once
    ground     who plays: the seam to the backends
    candidates, training    how a candidate actor is learned: on one network, over many
    teacher    who learns: in this process; remote, remote_course: in the trainer service
    units      replicates side by side on the cores there are
    run        an experiment file to results.json, figures and report
    progress   how the work tells how far it is
"""
