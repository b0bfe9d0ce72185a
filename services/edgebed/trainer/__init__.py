"""The trainer: learns for a controller elsewhere. The only service that needs torch.

What belongs here: jobs, and the HTTP around them. What does not: how to learn (`learning`), what a lesson is
(`runner.teacher`), how a controller talks to this service (`runner.remote`).

    requests what may be asked
    lessons  how that is done
    jobs     one after the other, each once
    app      the same over HTTP
    main     the process
"""
