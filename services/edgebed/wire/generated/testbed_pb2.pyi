from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Status(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    UNFINISHED: _ClassVar[Status]
    SUCCEEDED: _ClassVar[Status]
    DROPPED: _ClassVar[Status]
    FAILED: _ClassVar[Status]
UNFINISHED: Status
SUCCEEDED: Status
DROPPED: Status
FAILED: Status

class TaskHeader(_message.Message):
    __slots__ = ("run", "episode", "number", "slot", "source", "size_bits", "cycles", "deadline_s", "arrived_s", "u_transmission", "u_execution", "destination", "decided_s", "sent_s", "probability", "model_version", "profile")
    RUN_FIELD_NUMBER: _ClassVar[int]
    EPISODE_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    SLOT_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    SIZE_BITS_FIELD_NUMBER: _ClassVar[int]
    CYCLES_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_S_FIELD_NUMBER: _ClassVar[int]
    ARRIVED_S_FIELD_NUMBER: _ClassVar[int]
    U_TRANSMISSION_FIELD_NUMBER: _ClassVar[int]
    U_EXECUTION_FIELD_NUMBER: _ClassVar[int]
    DESTINATION_FIELD_NUMBER: _ClassVar[int]
    DECIDED_S_FIELD_NUMBER: _ClassVar[int]
    SENT_S_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    run: str
    episode: int
    number: int
    slot: int
    source: int
    size_bits: float
    cycles: float
    deadline_s: float
    arrived_s: float
    u_transmission: float
    u_execution: float
    destination: int
    decided_s: float
    sent_s: float
    probability: float
    model_version: int
    profile: int
    def __init__(self, run: _Optional[str] = ..., episode: _Optional[int] = ..., number: _Optional[int] = ..., slot: _Optional[int] = ..., source: _Optional[int] = ..., size_bits: _Optional[float] = ..., cycles: _Optional[float] = ..., deadline_s: _Optional[float] = ..., arrived_s: _Optional[float] = ..., u_transmission: _Optional[float] = ..., u_execution: _Optional[float] = ..., destination: _Optional[int] = ..., decided_s: _Optional[float] = ..., sent_s: _Optional[float] = ..., probability: _Optional[float] = ..., model_version: _Optional[int] = ..., profile: _Optional[int] = ...) -> None: ...

class TaskRecord(_message.Message):
    __slots__ = ("task", "status", "received_s", "started_s", "ended_s", "place", "reason")
    TASK_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_S_FIELD_NUMBER: _ClassVar[int]
    STARTED_S_FIELD_NUMBER: _ClassVar[int]
    ENDED_S_FIELD_NUMBER: _ClassVar[int]
    PLACE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    task: TaskHeader
    status: Status
    received_s: float
    started_s: float
    ended_s: float
    place: int
    reason: str
    def __init__(self, task: _Optional[_Union[TaskHeader, _Mapping]] = ..., status: _Optional[_Union[Status, str]] = ..., received_s: _Optional[float] = ..., started_s: _Optional[float] = ..., ended_s: _Optional[float] = ..., place: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class RecordBatch(_message.Message):
    __slots__ = ("records", "node")
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    records: _containers.RepeatedCompositeFieldContainer[TaskRecord]
    node: int
    def __init__(self, records: _Optional[_Iterable[_Union[TaskRecord, _Mapping]]] = ..., node: _Optional[int] = ...) -> None: ...

class RecordReceipt(_message.Message):
    __slots__ = ("stored",)
    STORED_FIELD_NUMBER: _ClassVar[int]
    stored: int
    def __init__(self, stored: _Optional[int] = ...) -> None: ...

class Arrivals(_message.Message):
    __slots__ = ("tasks",)
    TASKS_FIELD_NUMBER: _ClassVar[int]
    tasks: _containers.RepeatedCompositeFieldContainer[TaskHeader]
    def __init__(self, tasks: _Optional[_Iterable[_Union[TaskHeader, _Mapping]]] = ...) -> None: ...

class Probe(_message.Message):
    __slots__ = ("run", "episode", "slot", "asker")
    RUN_FIELD_NUMBER: _ClassVar[int]
    EPISODE_FIELD_NUMBER: _ClassVar[int]
    SLOT_FIELD_NUMBER: _ClassVar[int]
    ASKER_FIELD_NUMBER: _ClassVar[int]
    run: str
    episode: int
    slot: int
    asker: int
    def __init__(self, run: _Optional[str] = ..., episode: _Optional[int] = ..., slot: _Optional[int] = ..., asker: _Optional[int] = ...) -> None: ...

class ProbeAnswer(_message.Message):
    __slots__ = ("node", "waiting", "backlog_s", "available", "waiting_to_asker")
    NODE_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    BACKLOG_S_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    WAITING_TO_ASKER_FIELD_NUMBER: _ClassVar[int]
    node: int
    waiting: int
    backlog_s: float
    available: bool
    waiting_to_asker: int
    def __init__(self, node: _Optional[int] = ..., waiting: _Optional[int] = ..., backlog_s: _Optional[float] = ..., available: _Optional[bool] = ..., waiting_to_asker: _Optional[int] = ...) -> None: ...

class Announcement(_message.Message):
    __slots__ = ("run", "episode", "node", "waiting")
    RUN_FIELD_NUMBER: _ClassVar[int]
    EPISODE_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    run: str
    episode: int
    node: int
    waiting: int
    def __init__(self, run: _Optional[str] = ..., episode: _Optional[int] = ..., node: _Optional[int] = ..., waiting: _Optional[int] = ...) -> None: ...

class EpisodePlan(_message.Message):
    __slots__ = ("run", "episode", "slot_s", "slots", "starts_at_unix_ns", "tasks", "addresses")
    RUN_FIELD_NUMBER: _ClassVar[int]
    EPISODE_FIELD_NUMBER: _ClassVar[int]
    SLOT_S_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    STARTS_AT_UNIX_NS_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    run: str
    episode: int
    slot_s: float
    slots: int
    starts_at_unix_ns: int
    tasks: _containers.RepeatedCompositeFieldContainer[TaskHeader]
    addresses: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, run: _Optional[str] = ..., episode: _Optional[int] = ..., slot_s: _Optional[float] = ..., slots: _Optional[int] = ..., starts_at_unix_ns: _Optional[int] = ..., tasks: _Optional[_Iterable[_Union[TaskHeader, _Mapping]]] = ..., addresses: _Optional[_Iterable[str]] = ...) -> None: ...

class NodeState(_message.Message):
    __slots__ = ("node", "run", "episode", "now_s", "waiting", "executing", "waiting_to", "sending_to", "scheduler", "model_version")
    NODE_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    EPISODE_FIELD_NUMBER: _ClassVar[int]
    NOW_S_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    EXECUTING_FIELD_NUMBER: _ClassVar[int]
    WAITING_TO_FIELD_NUMBER: _ClassVar[int]
    SENDING_TO_FIELD_NUMBER: _ClassVar[int]
    SCHEDULER_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    node: int
    run: str
    episode: int
    now_s: float
    waiting: int
    executing: bool
    waiting_to: _containers.RepeatedScalarFieldContainer[int]
    sending_to: _containers.RepeatedScalarFieldContainer[bool]
    scheduler: str
    model_version: int
    def __init__(self, node: _Optional[int] = ..., run: _Optional[str] = ..., episode: _Optional[int] = ..., now_s: _Optional[float] = ..., waiting: _Optional[int] = ..., executing: _Optional[bool] = ..., waiting_to: _Optional[_Iterable[int]] = ..., sending_to: _Optional[_Iterable[bool]] = ..., scheduler: _Optional[str] = ..., model_version: _Optional[int] = ...) -> None: ...

class ModelAnnouncement(_message.Message):
    __slots__ = ("version", "scheduler", "parameters", "artefact", "sha256")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SCHEDULER_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    ARTEFACT_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    version: int
    scheduler: str
    parameters: str
    artefact: str
    sha256: str
    def __init__(self, version: _Optional[int] = ..., scheduler: _Optional[str] = ..., parameters: _Optional[str] = ..., artefact: _Optional[str] = ..., sha256: _Optional[str] = ...) -> None: ...
