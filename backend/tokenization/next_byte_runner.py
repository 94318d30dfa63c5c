"""Ask a model for the next byte of a prefix, exactly and naively."""

from collections.abc import Callable, Mapping

import numpy as np
import torch

from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.structure import embedding_entries
from tokenarium.backend.models.text import decode_each
from tokenarium.backend.runs.events import CancelToken, Event
from tokenarium.backend.runs.progress import ProgressReporter
from tokenarium.backend.tokenization.canonical import CanonicalBpe
from tokenarium.backend.tokenization.next_byte import Context, Ids, next_byte
from tokenarium.backend.tokenization.request import NextByteRequest
from tokenarium.backend.tokenization.result import NextByteResult
from tokenarium.backend.tokenization.scoring import beginning
from tokenarium.backend.tokenization.segmentation import read
from tokenarium.backend.tokenization.vocabulary import Vocabulary


@torch.inference_mode()
def answer(
    request: NextByteRequest,
    loaded: LoadedModel,
    limit: int,
    emit: Callable[[Event], None],
    cancel: CancelToken,
    vocabularies: Mapping[str, Vocabulary],
) -> NextByteResult:
    """Return the distribution of the next byte.

    Args:
        limit: most tokens the model may read.
        emit: receives progress.
        cancel: checked before each pass of the model.
        vocabularies: the model's own, by its name.
    Raises: ValueError where the tokenizer or the prefix does not allow it; Cancelled.
    """
    vocabulary = vocabularies[request.model]
    canonical, prefix = CanonicalBpe(vocabulary), request.prefix.encode()
    if not read(vocabulary, request.prefix).spelled:
        raise ValueError(
            f"{vocabulary.title} changes this prefix before it cuts it: choose another model, or "
            "leave out what its normaliser changes"
        )
    before = beginning(loaded)
    if not before:
        raise ValueError(f"{loaded.name} has no token to begin a text with: choose another model")
    ids = canonical.left(prefix)
    if len(before) + len(ids) > limit:
        raise ValueError(f"the prefix is {len(ids)} tokens, the limit is {limit}: shorten it")
    report = ProgressReporter(emit, cancel).report
    passes = 0

    def model(left: Ids) -> Context:
        nonlocal passes
        report("asking the model", passes, passes + 1)
        passes += 1
        return _context(loaded, [*before, *left], len(before))

    entries = embedding_entries(loaded.model)
    tokens = {k: vocabulary.spelled[k] for k in vocabulary.entries if k < entries}
    found = next_byte(prefix, tokens, canonical, model)
    return NextByteResult(
        exact=found.exact,
        naive=found.naive,
        leaked=found.leaked,
        total_variation=float(np.abs(found.exact - found.naive).sum() / 2),
        prefix_nats=-found.log_p,
        cut_byte=np.array([cut.start for cut in found.cuts], np.int32),
        cut_tokens=np.array([cut.tokens for cut in found.cuts], np.int32),
        cut_share=np.array([cut.share for cut in found.cuts], np.float64),
        prefix_ids=np.array(ids, np.int32),
        prefix_text=decode_each(loaded, ids),
    )


def _context(loaded: LoadedModel, ids: list[int], given: int) -> Context:
    """Return what a model says after ids, of which the first ``given`` are not scored."""
    tokens = torch.tensor([ids], device=loaded.device)
    states = loaded.body(input_ids=tokens, use_cache=False).last_hidden_state[0]
    log_p = 0.0
    if len(ids) > given:
        rows = torch.log_softmax(loaded.unembed(states[given - 1 : -1]).double(), -1)
        log_p = float(rows.gather(1, tokens[0, given:, None]).sum())
    last = torch.log_softmax(loaded.unembed(states[-1:])[0].double(), -1)
    return Context(log_p, last.cpu().numpy())
