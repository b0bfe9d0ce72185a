"""The experiment room: what a researcher asks for, and what is made of the answers.

What belongs here: the specification and its files, the stages that a run is made of, the statistics of its outcomes,
figures and report. What does not: servers, torch, simulators; whoever produces the outcomes hands them in.

    errors         what can go wrong, and who is to blame
    quantities     distributions with units and limits, as fields
    parts, methods what an experiment is made of
    specification  the experiment as a value; sweep: one experiment per swept value
    validation     plain values to an Experiment, with every problem named
    reading        the same for a YAML file; yaml_lines: YAML with the line of every value
    inputs, trace  networks and tasks, drawn or read from files
    reference      the page that explains every field, made from the model
    crd, status    the same for Kubernetes, as a CustomResourceDefinition; structural: JSON Schema to what it asks for
    resource       an experiment as the API server returns it
    stages         results that are computed once; folder: the folder of a run; files: whole or not at all
    outcome        what a run measured; intervals, statistics: what follows from it; verdict: in plain sentences
    results        results.json, and the report made from it
    drawing, figures, report  for people
"""
