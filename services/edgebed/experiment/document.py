"""The base of every part of the specification: frozen, strict, closed, camelCase outside and snake_case inside."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from edgebed.experiment.quantities import Unit


class Document(BaseModel):
    """A part of the specification. A docstring below a field is its description everywhere."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        alias_generator=to_camel,
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
    )


MAXIMUM_COUNT = 10**9
"""No count of the specification is larger; a slip of the keyboard is refused early."""

Count = Annotated[int, Field(ge=1, le=MAXIMUM_COUNT)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(gt=0), Unit("s")]
Attribution = Literal["completion", "arrival", "perTask", "crowding"]
FilePath = Annotated[str, Field(min_length=1, max_length=1_000)]


def refused(found: str, remedy: str, *path: str | int) -> PydanticCustomError:
    """An error of a validator; `path` leads from the validated value to the culprit."""
    context: dict[str, Any] = {"found": found, "remedy": remedy, "path": path}
    return PydanticCustomError("edgebed", "{found}; {remedy}", context)
