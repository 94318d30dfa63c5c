import pytest

from tokenarium.backend.runs.events import Cancelled, CancelToken


def test_cancel_token_raises_with_its_reason_only_after_cancel() -> None:
    token = CancelToken()
    token.check()
    assert not token.cancelled
    token.cancel("over the limit")
    assert token.cancelled
    with pytest.raises(Cancelled, match="over the limit"):
        token.check()
