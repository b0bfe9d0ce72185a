"""The sentences of docs/generalist.md; in braces what is measured."""

PAGE = """# One policy for every network

<!-- Made by `python -m scripts.generalist study`; change scripts/generalist/prose.py instead. -->

A network of your own needs no training to beat the heuristics:

```yaml
methods:
  - {{name: ratc, policy: ratc}}
  - {{name: generalist, policy: generalist}}
  - {{name: informed, policy: {{kind: generalist, ask: all}}}}     # or a number of nodes to ask
```

`policy: generalist` is a candidate actor that was trained on random networks of the simulation setup and around it. It works
on every backend; on real nodes it asks over HTTP and decides with numpy alone. Its file is
`deploy/models/generalist.safetensors` with a manifest beside it; `make generalist` trains it again.

## What it is

A small network scores each node that could execute a task, from numbers that mean the same in every network
(`candidate/v1`, `systems/cooperative/candidate.py`): times in deadlines, tasks and capacities over their means, the bit of
every node, the own queue and links. A softmax of the scores decides. The weights are the same for every candidate, so
renumbering the nodes changes nothing and their number is not part of the model. With `ask` it also knows the seconds of work of
all, or of as many as it is told, namely those that it scores best without asking.

Simulator, node and task log give it the same numbers (`tests/parity/test_candidate.py`).

## How it learns

Every update plays one episode on each of eight networks. The log then says what each candidate of each decision was worth: the
task's own outcome there, and eta times its *crowding*, what it does to the tasks behind it in that execution queue. Crowding is
not estimated: the queue is replayed with the task and without it (`systems/cooperative/crowding.py`). A regression learns the
worth, and the softmax of it over a temperature plays the next episodes (`learning/candidate_ppo.py`).

One network in four is of the simulation setup as it is, with 20 or 10 nodes. The others are varied (domain randomisation): each
quantity in the table times a factor of its own, one for the whole network. Neither networks nor tasks of the testbed setup are
used; but the ranges and the 10 nodes were chosen with that setup in view, and it lies within them.

{variations}

The temperature falls with the third power of a network's load: where there is less to do, fewer tasks go to the same node at
once, so the better node may be chosen more often. And the regression is more exact about candidates that are chosen (`focus`).

Training networks are kept apart from the evaluation's, and a run refuses an overlap:

```yaml
- name: mine
  training:
    algorithm: worth
    networks:
      from: specification                               # or a file of networks
      perUpdate: 8
      domainRandomisation: {{share: 0.75, coreFrequency: {{uniform: [0.8, 2.5]}}}}
    episodes: 1200
- name: tuned                                           # goes on learning on one network, while it plays
  start: generalist
  online: {{algorithm: candidate-ppo, episodes: 800, episodesPerUpdate: 8, learningRate: 0.0003, learningRateFalls: true}}
- name: from-log                                        # from a heuristic's log alone
  collect: {{policy: ratc, episodes: 200}}
  offline: {{algorithm: outcomes, updates: 1000}}
```

## Networks that it has not seen

{reference_episodes} episodes each, the same tasks and luck for all; training seeds of the model: {seeds}.

{headline}

{networks} fresh networks each, {episodes} episodes, one bit; the difference is paired over networks:

{elsewhere}

![Success against the number of nodes](images/generalist-nodes.png)

## What knowing more is worth

On the reference networks of the simulation setup (N = 20). A node that is asked sends its bit and its seconds of work in one
answer, so asking some of them for the latter is no further message: what it costs is what their answers must keep up to date.

{information}

![Success against messages](images/generalist-messages.png)

## What it needs

Trained again without something, and used without it; one training seed, the difference paired over the five networks:

{ablations}

{tuned}

## What it cannot do

- It knows networks like those that it was trained on. Values outside of the ranges in its file (see the manifest) raise a
  warning that names the quantity and the range; the number of nodes is one of them. The testbed setup is within them.
- The recipe was chosen among some tens of others by their success on the reference networks, so the first two tables flatter it
  a little. The fresh networks served no choice.
- Crowding leaves out how others would decide if the task were not there.
- A network of one node has nothing to choose, and a model for another observation is refused.
"""

TUNED = """## Tuned on one network, or learned from a log alone

`edgebed run deploy/experiments/generalist-simulation.yaml` and `generalist-testbed.yaml`, on the same reference networks with
400 episodes each and three training seeds (a quarter of an hour); success in %:

| | simulation, mean | 1 to 5 | testbed, mean | 1 to 5 |
|---|---|---|---|---|
| ratc | 81.3 | 83.2, 88.1, 87.4, 76.0, 71.8 | 95.8 | 94.9, 93.4, 96.4, 96.6, 97.7 |
| from-log: 200 episodes of RATC, nothing else | 83.9 | 87.0, 92.0, 90.9, 76.2, 73.6 | 97.0 | 96.7, 96.7, 97.5, 97.3, 96.7 |
| generalist, as it comes along | 86.3 | 88.7, 93.8, 92.8, 79.6, 76.6 | 97.8 | 97.2, 97.5, 98.2, 98.2, 98.0 |
| tuned: 800 episodes online on each network | 87.7 | 90.0, 94.9, 93.9, 80.7, 78.9 | 98.2 | 97.7, 97.9, 98.3, 98.5, 98.7 |

Tuning shows no dip: at every look, from the 80th episode on, each network is above where it began. On testbed network 5 a log
of RATC, which is good there, is worth less than RATC itself.

Real nodes do as the simulator says: ten processes on testbed network 1 had 97.0 % of 2817 tasks in time with the bits asked
over HTTP (9 questions and 449 bytes per task), the simulator 97.1 % with the same luck."""
"""Of experiments that the study does not run: run them again when the model changes."""
