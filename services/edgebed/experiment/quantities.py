"""A field that may be a number, `{uniform: [low, high]}` or `{choice: [...]}`, with a unit and limits.

The parsed value is the system's own distribution, so a specification needs no second set of classes. Numbers are
strict: no text, no booleans, nothing infinite.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from edgebed.experiment.errors import did_you_mean, shown
from edgebed.systems.cooperative.distributions import Choice, Constant, Distribution, Uniform

MAXIMUM_CHOICES = 1_000
MAXIMUM_NUMBER = 1e300
"""Numbers beyond this are refused: whatever is computed from them would not be finite."""


@dataclass(frozen=True)
class Unit:
    """The unit of a plain field, for the reference page and the schema."""

    name: str

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {**handler(schema), "x-unit": self.name}


@dataclass(frozen=True)
class Quantity:
    """What a distribution may hold; used as `Annotated[Distribution, Quantity("KB", low=0, above=True)]`."""

    unit: str
    low: float = 0.0
    high: float = math.inf
    above: bool = False
    """The values must be larger than `low`, not equal."""

    @property
    def limits(self) -> str:
        """In words: `a number over 0`."""
        if math.isfinite(self.high):
            return f"a number from {self.low:g} to {self.high:g}"
        return f"a number over {self.low:g}" if self.above else f"a number of at least {self.low:g}"

    def parse(self, value: object) -> Distribution:
        """The distribution that a document describes. Raises PydanticCustomError with value, remedy and inner path."""
        if isinstance(value, Constant | Uniform | Choice):
            value = to_document(value)
        if not isinstance(value, Mapping):
            return Constant(self._number(value, (), " or {uniform: [low, high]} or {choice: [...]}"))
        if len(value) != 1 or not set(value) <= {"uniform", "choice"}:
            unknown = [key for key in value if key not in ("uniform", "choice")]
            if unknown:
                raise _wrong((unknown[0],), "is unknown", did_you_mean(unknown[0], ("uniform", "choice")))
            raise _wrong((), f"{shown(dict(value))} is not allowed", "give either uniform or choice")
        ((kind, items),) = value.items()
        if not isinstance(items, list | tuple):
            raise _wrong((kind,), f"{shown(items)} is not allowed", "give a list of numbers")
        if kind == "choice" and not items:
            raise _wrong((kind,), "is empty", "give at least one value")
        if len(items) > MAXIMUM_CHOICES:
            raise _wrong((kind,), f"has {len(items)} values", f"give at most {MAXIMUM_CHOICES}")
        if kind == "uniform" and len(items) != 2:
            raise _wrong((kind,), f"{shown(items)} is not allowed", "give two numbers, [low, high]")
        numbers = tuple(self._number(item, (kind, position)) for position, item in enumerate(items))
        if kind == "choice":
            return Choice(numbers)
        if numbers[0] > numbers[1]:
            raise _wrong((kind,), f"{shown(items)} is not allowed", "give the lower end first")
        return Uniform(*numbers)

    def _number(self, value: object, path: tuple[str | int, ...], otherwise: str = "") -> float:
        fine = (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and -MAXIMUM_NUMBER <= value <= MAXIMUM_NUMBER
        )
        if fine:
            number = float(value)  # type: ignore[arg-type]
            fine = self.low <= number <= self.high and not (self.above and number == self.low)
        if not fine:
            raise _wrong(path, f"{shown(value)} is not allowed", f"give {self.limits}{otherwise}")
        return number

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.parse, serialization=core_schema.plain_serializer_function_ser_schema(to_document)
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        number: dict[str, Any] = {"type": "number", "exclusiveMinimum" if self.above else "minimum": self.low}
        if math.isfinite(self.high):
            number["maximum"] = self.high

        def one(key: str, array: dict[str, Any]) -> dict[str, Any]:
            items = {"type": "array", "items": number, **array}
            return {"type": "object", "properties": {key: items}, "required": [key], "additionalProperties": False}

        choices = {"minItems": 1, "maxItems": MAXIMUM_CHOICES}
        forms = [number, one("uniform", {"minItems": 2, "maxItems": 2}), one("choice", choices)]
        values = f"{self.limits}, {{uniform: [low, high]}} or {{choice: [a, b, ...]}}"
        return {"anyOf": forms, "x-unit": self.unit, "x-values": values}


def to_document(distribution: Distribution) -> object:
    """A distribution as it is written in YAML; whole numbers without a point."""
    match distribution:
        case Constant(value):
            return plain(value)
        case Uniform(low, high):
            return {"uniform": [plain(low), plain(high)]}
        case Choice(values):
            return {"choice": [plain(value) for value in values]}


def plain(number: float) -> int | float:
    """3 for 3.0, so that equal experiments have equal documents."""
    return int(number) if float(number).is_integer() and abs(number) < 2**53 else float(number)


def scaled(distribution: Distribution, factor: float) -> Distribution:
    """The distribution of `factor` times the value, to change a unit."""
    match distribution:
        case Constant(value):
            return Constant(value * factor)
        case Uniform(low, high):
            return Uniform(low * factor, high * factor)
        case Choice(values):
            return Choice(tuple(value * factor for value in values))


def _wrong(path: tuple[str | int, ...], found: str, remedy: str) -> PydanticCustomError:
    return PydanticCustomError("edgebed", "{found}; {remedy}", {"found": found, "remedy": remedy, "path": path})
