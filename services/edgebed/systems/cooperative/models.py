"""The two kinds of trained actor: the paper's, of one network, and the candidate actor, of any."""

from safetensors import SafetensorError

from edgebed.systems.cooperative.actor import FORMAT as PAPER
from edgebed.systems.cooperative.actor import ActorWeights
from edgebed.systems.cooperative.candidate_actor import FORMAT as CANDIDATE
from edgebed.systems.cooperative.candidate_actor import CandidateWeights, about_of
from edgebed.systems.cooperative.errors import ModelError

Model = ActorWeights | CandidateWeights


def read_model(data: bytes) -> Model:
    """The actor of a file of either kind. Raises ModelError for bytes that are damaged or of a format that is not known."""
    try:
        found = about_of(data).get("format")
    except (SafetensorError, ValueError, TypeError, AttributeError) as error:
        remedy = "the file is damaged or not an actor; fetch or train it again"
        raise ModelError("actor", str(error), remedy) from error
    if found == CANDIDATE:
        return CandidateWeights.from_bytes(data)
    if found == PAPER:
        return ActorWeights.from_bytes(data)
    raise ModelError("actor.format", found, f"this version reads {PAPER!r} and {CANDIDATE!r}")
