"""The models that come along: `policy: generalist` needs no file of the user's and no training.

In an installed package they lie in `edgebed/models`, in a checkout in `deploy/models`; `make generalist` makes them again.
"""

from pathlib import Path

from edgebed.experiment.errors import EnvironmentFault

GENERALIST = "generalist"

_PLACES = (Path(__file__).parents[1] / "models", Path(__file__).parents[3] / "deploy" / "models")


def shipped_model(name: str = GENERALIST) -> Path:
    """The file of a model. Raises EnvironmentFault where the installation lacks it."""
    for place in _PLACES:
        if (place / f"{name}.safetensors").is_file():
            return place / f"{name}.safetensors"
    looked = " and ".join(str(place) for place in _PLACES)
    raise EnvironmentFault(f"the model {name}.safetensors is in neither of {looked}; install edgebed again")
