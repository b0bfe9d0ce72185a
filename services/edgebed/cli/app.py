"""The commands. Each says by example what it is for; what it needs it imports when it runs."""

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from edgebed.cli.guard import guarded

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    help="""A testbed for decentralised task offloading among cooperative edge nodes.

    One YAML file describes a network, its tasks and the methods to compare:

        edgebed validate deploy/experiments/quickstart.yaml

        edgebed run deploy/experiments/quickstart.yaml

    Shell completion: `edgebed --install-completion`.""",
)

File = Annotated[Path, typer.Argument(metavar="FILE", help="an experiment's YAML file", show_default=False)]
Settings = Annotated[
    Path | None,
    typer.Option(help="servers to use, as EDGEBED_NAME=value lines (docs/stores.md); variables go before it"),
]
Json = Annotated[bool, typer.Option("--json", help="print JSON for programs on standard output")]


class Device(StrEnum):
    """Where to learn."""

    CPU = "cpu"
    CUDA = "cuda"


def _version(asked: bool) -> None:
    if asked:
        from edgebed import __version__

        print(f"edgebed {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_version, help="print the version")
    ] = False,
) -> None:
    """What goes before a command."""


@app.command()
def run(
    file: File,
    backend: Annotated[str | None, typer.Option(help="replaces spec.backend of the file")] = None,
    output: Annotated[Path | None, typer.Option(help="the run's folder; runs/NAME if not given")] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="replicates at once; as many as cores if not given")] = None,
    device: Annotated[Device, typer.Option(help="where to learn")] = Device.CPU,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="the controller's, with --backend processes; any free one if 0")
    ] = 0,
    settings: Settings = None,
    publish: Annotated[
        str | None,
        typer.Option(metavar="RUN", help="put the results into the store of artefacts, too, as results/RUN"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Run an experiment and write results.json, figures and a report.

    Interrupted runs go on where they stopped when the same command is given again.

        edgebed run deploy/experiments/quickstart.yaml

        edgebed run mine.yaml --output runs/second-try --jobs 4

        edgebed run deploy/experiments/testbed-quick.yaml --backend processes

        edgebed run deploy/experiments/testbed.yaml --backend processes --settings deploy/settings/middleware.env

        edgebed run mine.yaml --json | jq '.methods.o2o.successRate.mean'
    """
    with guarded(resume=True):
        from rich.console import Console

        from edgebed.cli.plan import load_experiment

        experiment = load_experiment(file, backend)
        folder = output or Path("runs") / experiment.name
        publisher = None
        if publish is not None:
            from edgebed.cli.publish import Publisher

            publisher = Publisher(publish, settings)
        if experiment.spec.backend == "processes":
            from edgebed.cli.live import LiveView
            from edgebed.cli.settings import stores_of
            from edgebed.processes.run import run_on_processes

            stores = stores_of(settings)
            with LiveView() as view:
                results = run_on_processes(experiment, folder, view, port=port, settings=stores)
        else:
            from edgebed.cli.progress import RichProgress
            from edgebed.runner.run import run_experiment

            with RichProgress() as progress:
                results = run_experiment(experiment, folder, jobs=jobs, progress=progress, device=str(device))
        if publisher is not None:
            publisher.publish(folder, experiment)
        if as_json:
            _print_json(results)
            return
        from edgebed.cli.tables import show

        show(results, Console())
        print(f"report: {folder / 'report.html'}")


@app.command()
def validate(
    file: File,
    backend: Annotated[str | None, typer.Option(help="replaces spec.backend of the file")] = None,
    as_json: Json = False,
) -> None:
    """Say what an experiment would run, or everything that is wrong with it.

    edgebed validate mine.yaml

    edgebed validate mine.yaml --json | jq .trainings
    """
    with guarded():
        from edgebed.cli.plan import describe, load_experiment, plan

        planned = plan(load_experiment(file, backend))
        if as_json:
            _print_json(planned)
            return
        print(f"{file} is valid; it would run")
        print(*describe(planned), sep="\n")


@app.command()
def replay(
    cases: Annotated[list[Path], typer.Argument(metavar="CASE.json...", help="tasks with their decisions")],
    backend: Annotated[
        str, typer.Option(help="simulator; virtual: the node core in virtual time; processes: real bytes and time")
    ] = "simulator",
) -> None:
    """Replay tasks with given decisions to their exact fates: one JSON document per case and line.

    edgebed replay tests/data/golden/*.json

    edgebed replay case.json --backend processes
    """
    with guarded():
        from edgebed.experiment.errors import Problem, UserError
        from edgebed.runner.replay import BACKENDS, read_case, replay_case

        if backend not in (*BACKENDS, "processes"):
            known = ", ".join((*BACKENDS, "processes"))
            raise UserError(Problem("--backend", f"{backend!r} cannot replay", f"give one of {known}"))
        if backend == "processes":
            from edgebed.processes.replay import replay_on_processes

            answers = replay_on_processes([read_case(path) for path in cases])
        else:
            answers = (replay_case(read_case(path), backend) for path in cases)
        for answer in answers:
            print(json.dumps(answer, allow_nan=False), flush=True)


@app.command()
def convert(
    log: Annotated[Path, typer.Argument(metavar="LOG.parquet", help="a task log")],
    experiment: Annotated[Path, typer.Option(help="the experiment that it was recorded in")],
    output: Annotated[Path, typer.Option(help="the NumPy file to write, .npz")],
    replicate: Annotated[int, typer.Option(min=0, help="which of its networks")] = 0,
) -> None:
    """Turn a task log into transitions for a learner of your own.

    edgebed convert runs/quickstart/stages/collect-*/log.parquet --experiment runs/quickstart/experiment.yaml
    --output transitions.npz
    """
    with guarded():
        from edgebed.cli.plan import load_experiment
        from edgebed.runner.convert import convert_log

        counts = convert_log(log, load_experiment(experiment, None), replicate, output)
        print(f"{output}: {', '.join(f'{count:,} {name}' for name, count in counts.items())}")


@app.command()
def report(folder: Annotated[Path, typer.Argument(metavar="DIR", help="a run's folder")]) -> None:
    """Make figures and report.html again from a run's results.json.

    edgebed report runs/quickstart
    """
    with guarded():
        from edgebed.experiment.results import write_report

        print(write_report(folder))


@app.command()
def policies(as_json: Json = False) -> None:
    """List the installed policies: ours, and those of other packages.

    edgebed policies
    """
    with guarded():
        from edgebed.systems.cooperative.errors import ModelError
        from edgebed.systems.registry import find_policy, policy_names

        found = {}
        for name in policy_names():
            try:
                found[name] = "".join((find_policy(name).__doc__ or "").strip().splitlines()[:1])
            except ModelError as error:  # one broken package does not hide the others
                found[name] = f"cannot be used: {error.remedy}"
        if as_json:
            _print_json(found)
            return
        for name, line in found.items():
            print(f"{name:<20} {line}")


@app.command()
def schema() -> None:
    """Print the JSON Schema of an experiment file, for editors.

    edgebed schema > experiment.schema.json
    """
    with guarded():
        from edgebed.experiment.specification import schema as experiment_schema

        _print_json(experiment_schema())


@app.command()
def crd() -> None:
    """Print the CustomResourceDefinition that lets a Kubernetes cluster take experiments.

    edgebed crd | kubectl apply --server-side -f -
    """
    with guarded():
        from edgebed.experiment.crd import manifest

        print(manifest(), end="")


class Measurable(StrEnum):
    """Applications whose tasks have costs to measure."""

    FFMPEG = "ffmpeg"


@app.command()
def calibrate(
    application: Annotated[Measurable, typer.Argument(help="whose tasks to measure")],
    output: Annotated[Path, typer.Option(help="the file of costs to write, .json")],
    only: Annotated[
        list[str] | None, typer.Option(help="profiles by name, with * for anything; may be repeated; all if not given")
    ] = None,
) -> None:
    """Measure what the tasks of an application cost on this machine, for `spec.workload.application.costs`.

    What has been measured before is not measured again, so an interrupted calibration goes on. Keep the machine idle.

        edgebed calibrate ffmpeg --output ffmpeg-costs.json

        edgebed calibrate ffmpeg --only '*-480p30-2s' --output short-costs.json
    """
    with guarded(resume=True):
        from edgebed.cli.calibration import calibrate_ffmpeg

        assert application is Measurable.FFMPEG  # the only one
        for line in calibrate_ffmpeg(output, only or ["*"]):
            print(line)


@app.command()
def doctor(settings: Settings = None, as_json: Json = False) -> None:
    """Check every configured server, and this machine, before a run starts.

    edgebed doctor

    edgebed doctor --settings deploy/settings/middleware.env
    """
    with guarded():
        from rich.console import Console

        from edgebed.cli.doctor import document, show
        from edgebed.cli.settings import stores_of
        from edgebed.processes.doctor import examine

        findings = list(examine(stores_of(settings)))
        if as_json:
            _print_json(document(findings))
        works = show(findings, Console(stderr=as_json))
        if not works:
            raise typer.Exit(3)


class ServiceName(StrEnum):
    """What `serve` can start."""

    CONTROLLER = "controller"
    EDGE_NODE = "edge-node"
    TASK_GENERATOR = "task-generator"
    TRAINER = "trainer"


@app.command()
def serve(service: Annotated[ServiceName, typer.Argument(help="which service")]) -> None:
    """Start one service by hand, with settings from the environment (EDGEBED_..., see docs/settings.md).

    edgebed serve edge-node
    """
    with guarded():
        import os

        from edgebed.experiment.errors import EnvironmentFault, Problem, UserError
        from edgebed.processes.services import run_service
        from edgebed.settings import SettingsError

        try:
            run_service(str(service), os.environ)
        except SettingsError as error:
            raise UserError(Problem("", str(error), "")) from error
        except OSError as error:
            raise EnvironmentFault(f"{service}: cannot listen ({error.strerror or error}); set EDGEBED_PORT") from error


@app.command()
def awake() -> None:
    """Keep this machine's processors from sleeping, for nodes that are started by hand or as pods; Ctrl-C ends it.

    A run on processes does it by itself where the machine is virtual (EDGEBED_KEEP_AWAKE, see docs/settings.md).

    edgebed awake
    """
    with guarded():
        import signal
        import threading

        from edgebed.emulation.awake import kept_awake, processors
        from edgebed.experiment.errors import EnvironmentFault

        over = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: over.set())
        which = processors()
        if not which:
            raise EnvironmentFault("this system cannot keep processors awake; Linux can")
        with kept_awake(which):
            print(f"{len(which)} processors are kept awake; Ctrl-C ends it", flush=True)
            over.wait()


@app.command()
def configuration(
    key: Annotated[
        str | None, typer.Argument(help="controller, edge-node, task-generator, trainer or policies")
    ] = None,
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="what to publish, in YAML or JSON; - for standard input")
    ] = None,
    controller: Annotated[
        str | None, typer.Option(help="its address; EDGEBED_CONTROLLER, or http://127.0.0.1:8080, if not given")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what services can be told while they run, and who has which version in use; or publish it.

    What can be changed is in docs/settings.md. A text that nobody could use is refused before it is published.

        edgebed configuration

        edgebed configuration edge-node > edge-node.yaml

        edgebed configuration edge-node edge-node.yaml --controller http://127.0.0.1:8080
    """
    with guarded():
        from rich.console import Console

        from edgebed.cli.configuration import overview, publish, table, text_of

        if key is None:
            found = overview(controller)
            if as_json:
                _print_json(found)
                return
            Console().print(table(found))
            for one in found["away"]:
                print(f"{one['service']} {one['name']} does not answer: {one['reason']}")
        elif file is None:
            text = text_of(controller, key)
            _print_json({"key": key, "text": text}) if as_json else print(text, end="")
        else:
            entry = publish(controller, key, file)
            _print_json(entry) if as_json else print(f"{key} is published in version {entry['version']}")


def _print_json(value: Any) -> None:
    json.dump(value, sys.stdout, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False)
    print()
