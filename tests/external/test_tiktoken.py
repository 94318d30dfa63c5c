"""Files of ranks are cut as tiktoken itself cuts: every encoding, and texts drawn from a seed.

tiktoken is not among what the tests need: pip install tiktoken, then pytest -m external. It
fetches nothing here: each encoding is given ranks that are trained in the test.
"""

import random

import pytest

from tests.tokenization.test_tiktoken_file import HARD, made, ranks
from tests.tokenization.toys import TEXTS

pytestmark = pytest.mark.external
tiktoken = pytest.importorskip("tiktoken", reason="pip install tiktoken")
public = pytest.importorskip("tiktoken_ext.openai_public", reason="pip install tiktoken")
POOL = "abstdSMREVLl'\u2019 \n\r\t  12 39½/\\.,!\u017f\u212aßǅʰ́あ漢नि🙂\u00a0\u2028\u200d\x85\x1c_"


def _drawn() -> list[str]:
    draw = random.Random(5)
    return ["".join(draw.choices(POOL, k=draw.randint(1, 24))) for _ in range(3_000)]


@pytest.mark.parametrize(
    "name", ["gpt2", "r50k_base", "p50k_base", "p50k_edit", "cl100k_base", "o200k_base"]
)
def test_the_same_ids(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for loader in ("load_tiktoken_bpe", "data_gym_to_mergeable_bpe_ranks"):
        monkeypatch.setattr(public, loader, lambda *_, **__: dict(ranks()))
    declared = public.ENCODING_CONSTRUCTORS[name]()
    declared.pop("explicit_n_vocab", None)
    peer, ours = tiktoken.Encoding(**declared), made(name)
    texts = [*TEXTS, *HARD, *_drawn()]
    expected = [peer.encode(text, disallowed_special=()) for text in texts]
    assert ours.engine.encode(texts) == expected
    assert {token: key for key, token in ours.added.items()} == declared["special_tokens"]
