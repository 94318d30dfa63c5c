"""Bringing a model from Hugging Face to this machine, with failures in words."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import (
    constants,
    get_safetensors_metadata,
    get_session,
    hf_hub_download,
    snapshot_download,
)
from huggingface_hub.errors import (  # type: ignore[attr-defined]
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HTTPError,
    LocalEntryNotFoundError,
    NotASafetensorsRepoError,
    RepositoryNotFoundError,
    SafetensorsParsingError,
)

from tokenarium.backend.models.files import INDEX, WEIGHTS
from tokenarium.backend.models.hub_cache import snapshot
from tokenarium.backend.models.refusal import ModelRefused

REACH_S = 5.0
"""Seconds in which Hugging Face must answer at all."""
_WANTED = [
    "config.json",
    WEIGHTS,
    INDEX,
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "vocab.*",
    "merges.txt",
]


def fetch(hub_id: str, accept: Callable[[Path, int], None]) -> Path:
    """Return the folder of a model's newest files, or of those downloaded before.

    Args:
        hub_id: ``org/name``.
        accept: called with the folder of config.json and the number of parameters before the
            weights are downloaded; raises where the model would not be used anyway.
    Raises: ModelRefused where the model is gated, absent, without safetensors or out of reach.
    """
    if known := snapshot(hub_id):
        return known
    with _told(hub_id):
        _reach()
        config = Path(hf_hub_download(hub_id, "config.json"))
        parameters = sum(get_safetensors_metadata(hub_id).parameter_count.values())
    accept(config.parent, parameters)
    with _told(hub_id):
        snapshot_download(hub_id, allow_patterns=_WANTED)
    if (folder := snapshot(hub_id)) is None:
        raise ModelRefused(
            f"{hub_id} has no tokenizer, or its weights are not in model.safetensors: choose a "
            "model that has both"
        )
    return folder


def _reach() -> None:
    """Ask once whether anybody answers: downloads try again for most of a minute."""
    get_session().head(constants.ENDPOINT, timeout=REACH_S)


@contextmanager
def _told(hub_id: str) -> Iterator[None]:
    try:
        yield
    except GatedRepoError as error:
        raise ModelRefused(
            f"{hub_id} is gated: its authors ask you to accept a licence first. Accept it on "
            f"https://huggingface.co/{hub_id}, then set HF_TOKEN to a token of your account and "
            "start the app again"
        ) from error
    except RepositoryNotFoundError as error:
        raise ModelRefused(
            f"{hub_id} was not found on Hugging Face: check the spelling, or, if it is private, "
            "set HF_TOKEN to a token that may read it"
        ) from error
    except (NotASafetensorsRepoError, SafetensorsParsingError) as error:
        raise ModelRefused(
            f"{hub_id} has no readable safetensors weights, and other formats can run code: choose "
            "a version that has model.safetensors"
        ) from error
    except LocalEntryNotFoundError as error:
        raise ModelRefused(_unreachable(hub_id)) from error
    except EntryNotFoundError as error:
        raise ModelRefused(
            f"{hub_id} has no config.json, so it is no model for transformers: choose another"
        ) from error
    except HfHubHTTPError as error:
        raise ModelRefused(
            f"{hub_id} could not be downloaded, Hugging Face answered {error.response.status_code}:"
            " try again in a few minutes, or give a folder that has the model"
        ) from error
    except (HTTPError, ConnectionError, TimeoutError) as error:
        raise ModelRefused(_unreachable(hub_id)) from error


def _unreachable(hub_id: str) -> str:
    return (
        f"{hub_id} is not on this machine and Hugging Face cannot be reached: check the network "
        "(and that HF_HUB_OFFLINE is not set), or use a bundled model or a local folder"
    )
