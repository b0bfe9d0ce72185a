"""What is compared: a policy as it is, or a learned one and how it is learned.

The hyperparameters carry the names of the algorithms' own settings; `settings()` hands them over. Defaults are the
paper's (Lin et al. 2024, section V.A, Algorithms 1 and 2) where it gives them.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, GetJsonSchemaHandler, model_serializer, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from edgebed.experiment.document import Attribution, Count, Document, Fraction, NotNegative, Positive, refused
from edgebed.experiment.errors import shown

MethodName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9]([a-zA-Z0-9._+-]*[a-zA-Z0-9+])?$", max_length=63)]
PolicyName = Annotated[str, Field(min_length=1, max_length=63)]
Hidden = Annotated[int, Field(ge=1, le=4096)]


class PolicyChoice(Document):
    """A policy by its name, with parameters of its own: `ratc`, or `{kind: rda, coefficient: 0.5}`."""

    model_config = ConfigDict(extra="allow")

    kind: PolicyName
    """Name of an installed policy."""

    @property
    def parameters(self) -> dict[str, Any]:
        """What is handed to the policy beside its context."""
        return dict(self.model_extra or {})

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, value: object) -> object:
        if isinstance(value, str):
            return {"kind": value}
        if isinstance(value, Mapping):
            return {str(key): item for key, item in value.items()}
        raise refused(f"{shown(value)} is not allowed", "give the name of a policy, or {kind: name, ...parameters}")

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        mapping = handler.resolve_ref_schema(handler(schema))
        name = {
            key: value for key, value in mapping["properties"]["kind"].items() if key not in ("title", "description")
        }
        return {"anyOf": [name, mapping], "x-values": "a name, or {kind: name, ...parameters}"}

    @model_serializer
    def _shortest(self) -> object:
        return {"kind": self.kind, **self.parameters} if self.parameters else self.kind


class Collect(Document):
    """Where the log for offline learning comes from."""

    policy: PolicyChoice
    """The policy that plays while the tasks are logged."""
    episodes: Count
    """Episodes in the log."""


class Offline(Document):
    """Algorithm 1: discrete soft actor-critic with conservative Q-learning on the collected log."""

    algorithm: Literal["sac-cql"]
    """The only one so far."""
    updates: Count
    """Gradient steps."""
    batch_slots: Count = 128
    """Slots of the log in one gradient step, each with all its nodes."""
    learning_rate: Positive = 3e-4
    """Step size of Adam, for actor and critics."""
    discount: Fraction = 0.99
    """Weight of the next slot's value."""
    target_update: Fraction = 0.0005
    """Share of the critic that moves into its target at every step."""
    temperature: NotNegative = 0.05
    """Weight of the policy's entropy."""
    conservatism: NotNegative = 0.1
    """Weight of the penalty on values of actions that the log does not show."""
    attribution: Attribution | None = None
    """When set, replaces reward.attribution for this algorithm."""
    hidden: Hidden = 64
    """Units of each of the two hidden layers of actor and critics."""

    def settings(self) -> dict[str, Any]:
        """The algorithm's hyperparameters, in snake_case."""
        return self.model_dump(exclude={"algorithm"})


class Online(Document):
    """Algorithm 2: proximal policy optimisation on the running system, from the offline actor if there is one."""

    algorithm: Literal["ppo"]
    """The only one so far."""
    episodes: Count
    """Online episodes altogether."""
    episodes_per_update: Count = 1
    """Episodes that are played before the actor is changed."""
    learning_rate: Positive = 3e-4
    """Step size of Adam, for actor and critic."""
    discount: Fraction = 0.99
    """Weight of the next slot's value."""
    gae_lambda: Fraction = 0.95
    """Weight of longer returns in the advantage."""
    clip: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Largest change of an action's probability that is rewarded, as a ratio."""
    epochs: Count = 4
    """Passes over the played episodes in one update."""
    minibatches: Count = 8
    """Parts of a pass, each one gradient step."""
    entropy: NotNegative = 0.0
    """Weight of the policy's entropy."""
    fresh_critic: bool = False
    """Begin with a new critic instead of the offline one."""
    attribution: Attribution | None = None
    """When set, replaces reward.attribution for this algorithm."""
    learning_rate_falls: bool = False
    """Let the step size fall linearly to 0 over the online episodes."""
    warmup_epochs: Annotated[int, Field(ge=0, le=1000)] = 8
    """Passes over the first episodes in which only the critic learns, so that tuning does not begin with a dip."""
    hidden: Hidden = 64
    """Units of each of the two hidden layers; taken from `offline` where the method has it."""

    def settings(self) -> dict[str, Any]:
        """The algorithm's hyperparameters, in snake_case."""
        return self.model_dump(exclude={"algorithm"})


class Method(Document):
    """Either `policy`, or `collect` with `offline`, `online`, or all three for offline-to-online."""

    name: MethodName
    """How the method is called in results and figures."""
    policy: PolicyChoice | None = None
    """A policy that is used as it is."""
    collect: Collect | None = None
    """The log that offline learning starts from."""
    offline: Offline | None = None
    """Learn from the log."""
    online: Online | None = None
    """Learn, or go on learning, while playing."""

    @property
    def learned(self) -> bool:
        """Whether something must be trained before the method can be evaluated."""
        return self.policy is None

    @model_validator(mode="before")
    @classmethod
    def _one_actor(cls, value: object) -> object:
        """Online learning goes on with the offline actor, so its layers are the default."""
        offline, online = (value.get("offline"), value.get("online")) if isinstance(value, Mapping) else (None, None)
        if not (isinstance(value, Mapping) and isinstance(offline, Mapping) and isinstance(online, Mapping)):
            return value
        if "hidden" not in offline or "hidden" in online:
            return value
        return {**value, "online": {**online, "hidden": offline["hidden"]}}

    @model_validator(mode="after")
    def _complete(self) -> Self:
        learns = self.offline is not None or self.online is not None
        if self.policy is not None and (learns or self.collect is not None):
            part = next(p for p in ("collect", "offline", "online") if getattr(self, p) is not None)
            raise refused("is not allowed beside policy", "give either policy, or how to learn one", part)
        if self.policy is None and not learns:
            raise refused(
                "has neither a policy nor a way to learn one", "give policy, or collect and offline, or online"
            )
        if self.offline is not None and self.collect is None:
            raise refused("is missing", "offline needs {policy: ..., episodes: ...} to learn from", "collect")
        if self.collect is not None and self.offline is None:
            raise refused("is not used", "give offline too, or remove collect", "collect")
        if self.offline is not None and self.online is not None and self.offline.hidden != self.online.hidden:
            found = f"{self.online.hidden} differs from offline.hidden"
            raise refused(found, "give both the same layers: it is one actor", "online", "hidden")
        return self
