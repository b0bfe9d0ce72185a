"""Whether an object of the cluster still is what was built: everything that we say about it holds.

The API server adds defaults, other people add labels and containers; that is theirs. Lists whose entries have a key are
compared by it, as the API server merges them; all others must be equal entry by entry.
"""

import re
from decimal import Decimal
from typing import Any

_KEYS = ("name", "uid", "topologyKey", "containerPort", "mountPath")
_FACTORS: dict[str, Decimal] = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    **{letter: Decimal(1000**power) for power, letter in enumerate("kMGT", 1)},
    **{f"{letter}i": Decimal(1024**power) for power, letter in enumerate("KMGT", 1)},
}
_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)([a-zA-Z]*)")


def holds(built: Any, found: Any) -> bool:
    """Whether `found` says everything that `built` says."""
    if isinstance(built, dict):
        if not isinstance(found, dict):
            return not built and found is None
        return all(holds(value, found.get(key)) for key, value in built.items())
    if isinstance(built, list):
        return _list_holds(built, found if isinstance(found, list) else [])
    if built == found and type(built) is type(found):
        return True
    return isinstance(built, str) and isinstance(found, str) and _same_quantity(built, found)


def _list_holds(built: list[Any], found: list[Any]) -> bool:
    key = next((key for key in _KEYS if built and all(isinstance(item, dict) and key in item for item in built)), None)
    if key is None:
        return len(built) == len(found) and all(map(holds, built, found))
    known = {item[key]: item for item in found if isinstance(item, dict) and key in item}
    return all(item[key] in known and holds(item, known[item[key]]) for item in built)


def _same_quantity(one: str, other: str) -> bool:
    """1000m is 1 and 1024Mi is 1Gi: the API server writes quantities in its own way."""
    amounts = [_amount(text) for text in (one, other)]
    return amounts[0] is not None and amounts[0] == amounts[1]


def _amount(text: str) -> Decimal | None:
    match = _QUANTITY.fullmatch(text)
    if match is None or match[2] not in _FACTORS:
        return None
    return Decimal(match[1]) * _FACTORS[match[2]]
