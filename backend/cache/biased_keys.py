"""What is added to the logit of kept entries: a bias by place (ALiBi), ln n where one is n."""

from torch import Tensor

from tokenarium.backend.cache.entries import Entries
from tokenarium.backend.cache.merging import log_counts
from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.observe import AttentionCall


def biases_of_entries(call: AttentionCall, entries: Entries) -> Tensor | None:
    """Return [H, N] what each query head adds to the logit of every row of the buffers.

    None where there is nothing to add.

    ALiBi (Press et al., 2022, arXiv:2108.12409) subtracts a slope times the distance; a softmax
    leaves out what all keys share, so that a bias by the key's position alone is the same.
    """
    of_merged = log_counts(entries)
    if call.key_bias is None:
        return None if of_merged is None else of_merged.expand(call.q.shape[1], -1)
    places = entries.buffers["positions"].long()
    found = call.key_bias[:, places.clamp(max=call.key_bias.shape[1] - 1)]
    return found if of_merged is None else found + of_merged


def refuse_biased(policy: Policy, call: AttentionCall) -> None:
    """Refuse a policy that goes by queries and keys alone where logits have a bias besides.

    Raises:
        ValueError: saying so.
    """
    selects = type(policy).selects is not Policy.selects
    if call.key_bias is not None and (selects or "queries" in policy.all_needs()):
        raise ValueError(
            f"{policy.title} chooses or reads entries by queries and keys alone, and the model "
            "adds a bias by position to their product (ALiBi): choose a policy that goes by "
            "attention, such as H2O, or a model with rotary positions"
        )
