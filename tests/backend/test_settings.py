from pathlib import Path

import pytest
from pydantic import ValidationError

from tokenarium.backend.settings import Settings


def test_settings_come_from_the_command_line_before_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TOKENARIUM_PORT", "7000")
    monkeypatch.setenv("TOKENARIUM_MODELS_DIR", "/somewhere")
    monkeypatch.setenv("TOKENARIUM_HOSTED_MODELS", "org/a, org/b")
    settings = Settings(_cli_parse_args=["--port", "7001", "--hosted"])
    assert settings.port == 7001
    assert settings.models_dir == Path("/somewhere")
    assert settings.hosted_models == ("org/a", "org/b")
    assert settings.hosted
    assert Settings().port == 7000


def test_settings_know_the_options_that_are_promised() -> None:
    settings = Settings(
        _cli_parse_args=[
            *("--host", "0.0.0.0", "--port", "1", "--database", "duckdb:///:memory:"),
            *("--device", "cpu", "--models-dir", "models", "--no-hosted"),
        ]
    )
    assert (settings.host, settings.port, settings.device) == ("0.0.0.0", 1, "cpu")
    assert (settings.models_dir, settings.hosted) == (Path("models"), False)


def test_settings_on_a_space_are_hosted_and_listen_to_all(monkeypatch: pytest.MonkeyPatch) -> None:
    here = Settings()
    assert (here.hosted, here.host) == (False, "127.0.0.1")
    monkeypatch.setenv("SPACE_ID", "someone/tokenarium")
    there = Settings()
    assert (there.hosted, there.host) == (True, "0.0.0.0")


def test_settings_on_a_space_take_its_port_and_its_disk(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GRADIO_SERVER_PORT", "7001")
    assert Settings().port == 7860
    monkeypatch.setenv("SPACE_ID", "someone/tokenarium")
    monkeypatch.setattr("tokenarium.backend.settings.SPACE_DISK", tmp_path)
    there = Settings()
    assert there.port == 7001
    assert there.database == f"duckdb:///{tmp_path}/runs.duckdb"
    assert there.cache_dir != tmp_path  # named by the environment of these tests
    monkeypatch.delenv("TOKENARIUM_CACHE_DIR")
    assert Settings().cache_dir == tmp_path / "cache"
    assert Settings(database="duckdb:///:memory:").database == "duckdb:///:memory:"


def test_signing_in_is_offered_where_the_platform_knows_accounts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tokenarium.backend.settings.find_spec", lambda name: object())
    assert not Settings().sign_in
    with pytest.raises(ValidationError, match=r"sign_in=True needs a Space with hf_oauth"):
        Settings(sign_in=True)
    monkeypatch.setenv("SPACE_ID", "someone/tokenarium")
    assert not Settings().sign_in
    monkeypatch.setenv("OAUTH_CLIENT_ID", "id")
    for secret in (None, ""):  # anybody could sign the session of any account
        if secret is not None:
            monkeypatch.setenv("OAUTH_CLIENT_SECRET", secret)
        assert not Settings().sign_in
    monkeypatch.setenv("OAUTH_CLIENT_SECRET", "a secret")
    assert Settings().sign_in
    assert not Settings(sign_in=False).sign_in


def test_token_limit_is_the_smaller_one_in_hosted_mode() -> None:
    assert Settings(hosted=False, max_tokens=9, hosted_max_tokens=5).token_limit == 9
    assert Settings(hosted=True, max_tokens=9, hosted_max_tokens=5).token_limit == 5
    assert Settings(hosted=True, max_tokens=3, hosted_max_tokens=5).token_limit == 3


@pytest.mark.parametrize("values", [{"port": 0}, {"device": "tpu"}, {"queue_size": 0}])
def test_settings_refuse_what_is_out_of_range(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Settings(**values)
