"""StreamingLLM: the first tokens and the newest."""

from tests.cache.policies.twin import PROMPT, check_same, kept_live
from tokenarium.backend.cache.policies.streaming_llm import StreamingLLM


def check_kept_sets(twins) -> None:
    """The contract tests also run this with every score turned round, and it must fail."""
    loaded, _ = twins("llama")
    expected = ([[[0, 1, 2, *range(end - 6, end)]] * 2] * 3 for end in range(PROMPT, PROMPT + 4))
    check_same(kept_live(loaded, StreamingLLM(sink=3), 9), expected)


def test_streaming_llm_keeps_what_it_should(twins) -> None:
    check_kept_sets(twins)
