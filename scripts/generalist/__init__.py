"""The model that comes along, and the study of it: `python -m scripts.generalist model`, `python -m scripts.generalist study`.

models     what is trained: the generalist with three seeds, and variants that lack something
cases      the networks and tasks that policies meet
measure    success rates of policies in cases, each computed once
page       docs/generalist.md
pictures   its figures
"""
