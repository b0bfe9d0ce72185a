"""Settings of the services, from environment variables: the one table of what each may be told from outside.

    settings = read_settings("edge-node", os.environ)

Every variable has the prefix EDGEBED_. A secret may come from a file instead (EDGEBED_TOKEN_FILE), as containers mount
them; it is never shown. A variable with our prefix that nobody knows is refused, because a mistyped setting that is silently
ignored costs a day. The table in docs/settings.md is made from `SETTINGS`.
"""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

PREFIX = "EDGEBED_"

SERVICES = ("controller", "edge-node", "task-generator", "trainer")
_TESTBED = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\Z")
_PORTS = {"controller": 8080, "edge-node": 8081, "task-generator": 8082, "trainer": 8083}

EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104  # compared with, not bound to
"""Hosts to listen on that are no address for others."""
DEFAULT_TESTBED = "testbed"
EMBEDDED = "embedded"
"""The coordination of the controller's own."""
Awake = Literal["auto", "on", "off"]
"""Whether processors are kept from sleeping."""
PASSED_ON = ("TASK_LOG", "ARTEFACTS", "COORDINATION", "KEEP_AWAKE", "LOG_LEVEL")
"""How the names of those settings begin that `edgebed run` passes on to the services that it starts."""


class SettingsError(ValueError):
    """A setting that is missing, unknown or not allowed; the message names variable, value and remedy."""


@dataclass(frozen=True)
class Setting:
    """One row of the table."""

    name: str
    """Without prefix."""
    services: tuple[str, ...]
    """Which services read it."""
    default: str | None
    """As text; None where there is none."""
    meaning: str
    example: str
    secret: bool = False
    """May come from a file, and is never shown."""


SETTINGS: tuple[Setting, ...] = (
    Setting("HOST", SERVICES, "127.0.0.1", "address to listen on", "0.0.0.0"),  # noqa: S104  # an example
    Setting("PORT", SERVICES, "8080 to 8083", "port to listen on; by default one of its own for each service", "8080"),
    Setting(
        "ADVERTISE",
        SERVICES,
        "http://HOST:PORT",
        "under which address others reach this service; where HOST is every address, the host's name by default",
        "http://node-3:8081",
    ),
    Setting("TOKEN", SERVICES, None, "shared secret; when set, every request must bear it", "b1946ac9", secret=True),
    Setting(
        "CONTROLLER",
        SERVICES[1:],
        None,
        "where to register; without it the service waits to be told",
        "http://controller:8080",
    ),
    Setting(
        "TESTBED",
        SERVICES,
        DEFAULT_TESTBED,
        "which services belong together, where several testbeds share a registry",
        "second",
    ),
    Setting("NODE", ("edge-node",), "the host's name", "name of this node in the registry", "edge-node-3"),
    Setting(
        "ARTEFACTS",
        ("controller", "edge-node", "trainer"),
        "file:artefacts",
        "store of models, logs and figures: a folder, or HDFS (its namenodes, one or several)",
        "webhdfs://edgebed@namenode-1:9870,namenode-2:9870/edgebed",
    ),
    Setting(
        "TASK_LOG",
        ("controller",),
        "sqlite:///tasks.db",
        "database of the task log: SQLite or MySQL",
        "mysql+pymysql://edgebed@mysql:3306/edgebed",
    ),
    Setting("TASK_LOG_PASSWORD", ("controller",), None, "password of the task log's user", "s3cret", secret=True),
    Setting(
        "COORDINATION",
        SERVICES,
        "embedded",
        "registry and configuration: the controller's own (embedded), or Nacos (its servers, and a namespace)",
        "nacos://nacos-1:8848,nacos-2:8848/edgebed",
    ),
    Setting("COORDINATION_USER", SERVICES, None, "user of Nacos, where it asks for one", "edgebed"),
    Setting("COORDINATION_PASSWORD", SERVICES, None, "password of that user", "s3cret", secret=True),
    Setting(
        "CACHE",
        SERVICES,
        "cache",
        "folder of the last good configuration, and of what Nacos's client keeps and logs",
        "/var/lib/edgebed/cache",
    ),
    Setting(
        "SPOOL",
        ("controller", "edge-node"),
        "spool",
        "folder that keeps records while the log is away",
        "/var/lib/edgebed/spool",
    ),
    Setting(
        "RUNS",
        ("controller", "trainer"),
        "runs",
        "folder with a subfolder for each experiment",
        "/var/lib/edgebed/runs",
    ),
    Setting(
        "OPERATOR",
        ("controller",),
        "off",
        "on: experiments that are objects of a Kubernetes namespace are this controller's (docs/kubernetes.md)",
        "on",
    ),
    Setting(
        "OPERATOR_SETTINGS",
        ("controller",),
        "operator.yaml",
        "file that tells the operator how the pods of experiments look (docs/kubernetes.md)",
        "/etc/edgebed/operator.yaml",
    ),
    Setting(
        "KEEP_AWAKE",
        ("edge-node",),
        "auto",
        "whether a run on processes keeps this machine's processors from sleeping: on, off, or auto (on virtual machines); "
        "for a node that is started alone, whether somebody does (`edgebed awake`), which it says in the report",
        "on",
    ),
    Setting("LOG_LEVEL", SERVICES, "warning", "debug, info, warning or error", "info"),
)


@dataclass(frozen=True)
class Settings:
    """What one service was told."""

    service: str
    host: str
    port: int
    advertise: str
    token: str | None
    controller: str | None
    testbed: str
    node: str
    artefacts: str
    task_log: str
    task_log_password: str | None
    coordination: str
    coordination_user: str | None
    coordination_password: str | None
    cache: Path
    spool: Path
    runs: Path
    keep_awake: Awake
    operator: bool
    operator_settings: Path
    log_level: str

    def __repr__(self) -> str:
        return f"Settings({self.service} on {self.host}:{self.port})"  # never a secret


def read_settings(service: str, environment: Mapping[str, str], hostname: str = "localhost") -> Settings:
    """The settings of one of `SERVICES`. Raises SettingsError with everything that is wrong, a line each."""
    problems: list[str] = []
    found: dict[str, str] = {}
    known = {PREFIX + setting.name: setting for setting in SETTINGS}
    files = {f"{name}_FILE": setting for name, setting in known.items() if setting.secret}
    for name, value in environment.items():
        # EDGEBED_TEST_ is for the tests, EDGEBED_SERVERS_ and the like for scripts around them: nobody's settings.
        if not name.startswith(PREFIX) or name.startswith((f"{PREFIX}TEST_", f"{PREFIX}SERVERS_")):
            continue
        if name in known:
            found[known[name].name] = value
        elif name in files:
            try:
                found[files[name].name] = Path(value).read_text(encoding="utf-8").strip()
            except OSError as error:
                problems.append(f"{name}: {value!r} cannot be read ({error.strerror}); give the path of a file")
        else:
            near = difflib.get_close_matches(name, [*known, *files], n=1)
            remedy = f"did you mean {near[0]}?" if near else f"the settings are {', '.join(known)}"
            problems.append(f"{name}: is unknown; {remedy}")
    for name in (f"{PREFIX}{setting.name}" for setting in SETTINGS if setting.secret):
        if name in environment and f"{name}_FILE" in environment:
            problems.append(f"{name}: is given twice; keep {name} or {name}_FILE")
    port = _port(found.get("PORT"), _PORTS[service], problems)
    controller = _address("CONTROLLER", found.get("CONTROLLER"), problems)
    host = found.get("HOST", "127.0.0.1")
    reached = hostname if host in EVERYWHERE else host
    advertise = _address("ADVERTISE", found.get("ADVERTISE"), problems) or f"http://{reached}:{port}"
    level = found.get("LOG_LEVEL", "warning").lower()
    if level not in ("debug", "info", "warning", "error"):
        problems.append(f"{PREFIX}LOG_LEVEL: {level!r} is not allowed; give debug, info, warning or error")
    if found.get("OPERATOR", "off") not in ("on", "off"):
        problems.append(f"{PREFIX}OPERATOR: {found['OPERATOR']!r} is not allowed; give on or off")
    if not _TESTBED.match(found.get("TESTBED", DEFAULT_TESTBED)):
        remedy = "give letters, digits and -, at most 63"
        problems.append(f"{PREFIX}TESTBED: {found['TESTBED']!r} is not allowed; {remedy}")
    awake = _awake(found.get("KEEP_AWAKE", "auto"), problems)
    if problems:
        raise SettingsError("\n".join(problems))
    return Settings(
        service=service,
        host=host,
        port=port,
        advertise=advertise,
        token=found.get("TOKEN") or None,
        controller=controller,
        testbed=found.get("TESTBED", DEFAULT_TESTBED),
        node=found.get("NODE", hostname),
        artefacts=found.get("ARTEFACTS", "file:artefacts"),
        task_log=found.get("TASK_LOG", "sqlite:///tasks.db"),
        task_log_password=found.get("TASK_LOG_PASSWORD") or None,
        coordination=found.get("COORDINATION", EMBEDDED),
        coordination_user=found.get("COORDINATION_USER") or None,
        coordination_password=found.get("COORDINATION_PASSWORD") or None,
        cache=Path(found.get("CACHE", "cache")),
        spool=Path(found.get("SPOOL", "spool")),
        runs=Path(found.get("RUNS", "runs")),
        keep_awake=awake,
        operator=found.get("OPERATOR", "off") == "on",
        operator_settings=Path(found.get("OPERATOR_SETTINGS", "operator.yaml")),
        log_level=level,
    )


def read_settings_file(path: Path) -> dict[str, str]:
    """The variables of a file of NAME=value lines, as containers and shells read them. Raises SettingsError."""
    found: dict[str, str] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise SettingsError(f"{path}: cannot be read ({reason}); give a file of NAME=value lines") from error
    for number, line in enumerate(lines, 1):
        content = line.strip()
        if not content or content.startswith("#"):
            continue
        name, equals, value = content.removeprefix("export ").partition("=")
        if not equals or not name.strip().startswith(PREFIX):
            raise SettingsError(f"{path}:{number}: {content.split('=')[0]!r} is no setting; give EDGEBED_NAME=value")
        value = value.strip()
        if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
            value = value[1:-1]
        found[name.strip()] = value
    return found


def settings_of_run(environment: Mapping[str, str], file: Path | None = None) -> dict[str, str]:
    """What a run on processes passes on to its services: which stores to use. A variable goes before the file.

    Raises SettingsError for one that is wrong, and for one in the file that the run sets itself.
    """
    given = {} if file is None else read_settings_file(file)
    own = [name for name in given if not _is_passed_on(name) and name.removesuffix("_FILE") in _ALL]
    if own:
        raise SettingsError(f"{file}: {', '.join(own)} is set by the run itself; remove it")
    given |= {name: value for name, value in environment.items() if _is_passed_on(name)}
    read_settings("controller", given)
    return given


def reads(service: str, variable: str) -> bool:
    """Whether a service reads a variable."""
    name = variable.removeprefix(PREFIX)
    return any(service in s.services and name in (s.name, f"{s.name}_FILE") for s in SETTINGS)


_ALL = frozenset(PREFIX + setting.name for setting in SETTINGS)


def _is_passed_on(name: str) -> bool:
    return name.removesuffix("_FILE") in _ALL and name.removeprefix(PREFIX).startswith(PASSED_ON)


def _awake(value: str, problems: list[str]) -> Awake:
    match value:
        case "auto" | "on" | "off":
            return value
    problems.append(f"{PREFIX}KEEP_AWAKE: {value!r} is not allowed; give auto, on or off")
    return "auto"


def _port(value: str | None, default: int, problems: list[str]) -> int:
    if value is None:
        return default
    if not value.isdigit() or not 0 <= int(value) < 65536:
        problems.append(f"{PREFIX}PORT: {value!r} is not allowed; give a whole number from 0 to 65535")
        return default
    return int(value)


def _address(name: str, value: str | None, problems: list[str]) -> str | None:
    if value is None:
        return None
    head, _, port = value.rstrip("/").rpartition(":")
    if not head.startswith("http://") or not port.isdigit():
        problems.append(f"{PREFIX}{name}: {value!r} is not allowed; give http://HOST:PORT")
    return value.rstrip("/")
