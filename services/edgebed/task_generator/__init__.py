"""The task generator: acts as the end devices, and emits every slot's tasks to the nodes on an absolute schedule.

What belongs here: when a task is handed over, and how late. What does not: which tasks there are (the controller's plan says
so, from the same arrays as the simulator's), and what becomes of them.

    plan       what an episode's plan says, checked and made ready to be sent
    emission   emits one plan, and measures how late
    app        the same over HTTP
    metrics    for Prometheus
    main       the process
"""
