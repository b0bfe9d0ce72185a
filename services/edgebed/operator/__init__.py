"""The operator: experiments as objects of a Kubernetes cluster, for a controller that plays them.

What belongs here: which objects an experiment needs, what became of them, and what people see of it in the object's status.
What does not: how an experiment is played (`controller`, `runner`), what its document may say (`experiment`).

Everything is decided by one pure function, `reconcile(experiment, observed, now, settings) -> Plan`, which is told what there
is and says what to do; it is called again whenever something may have changed, and needs no memory of its own.

    names       what the objects of an experiment are called
    settings    what the operator is told about images, resources and machines
    demand      what an experiment needs, from its document
    pods        the pods of each role, after the restricted Pod Security Standard
    objects     what they are made by: StatefulSet, Service, Deployments, Job, ConfigMap
    drift       whether an object is still as it was built
    trouble     why pods do not start, in a sentence
    progress    a run's state in the words of the status
    conditions  conditions that change only when their status does
    plan        the values that go in and come out
    reconcile   the decisions
    runs        what the operator asks of a controller
    played      the controller's experiments as such runs
    api         the API server
    agenda      which experiment is looked at when
    shell       observes, decides, performs: one thread
    heard       whether the watch still tells what the API server knows
    watch       kopf: wakes the shell
    rbac        what the operator may do
"""
