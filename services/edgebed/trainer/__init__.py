"""The trainer: learns for a controller elsewhere. The only service that needs torch.

What belongs here: jobs, and the HTTP around them. What does not: how to learn (`learning`), what a lesson is
(`runner.teacher`), how a controller talks to this service (`runner.remote`).

    jobs     what may be asked, one after the other, each once
    app      the same over HTTP
    main     the process
"""
