"""Every option of the application, declared once: command line, environment and documentation."""

import os
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

PROJECT = Path(__file__).resolve().parent.parent
SPACE_DISK = Path("/data")
"""Where a Space has its persistent storage."""
_HOST_NAME = re.compile(r"\*|(\*\.)?[\w.-]+|\[[\da-fA-F:.]+\]")
_SITE = re.compile(r"https?://(\*\.)?[\w.-]+(:\d+)?")


def _on_a_space() -> bool:
    return bool(os.environ.get("SPACE_ID"))


def _user_cache() -> Path:
    """Return the folder that this user's programs keep what they can fetch again in."""
    root = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or "~/.cache"
    return Path(root).expanduser() / "tokenarium"


def _lasting_folder() -> Path | None:
    """Return the disk of a Space that outlives a restart, where one is mounted."""
    mounted = _on_a_space() and os.access(SPACE_DISK, os.W_OK)
    return SPACE_DISK if mounted else None


def _default_database(known: dict[str, Any]) -> str:
    """Return where runs go: the folder that lasts, else the working folder.

    A Space may run code that cannot be written to, in the folder that it was copied to.
    """
    folder: Path | None = known.get("data_dir")
    if folder is None and _on_a_space() and not os.access(Path.cwd(), os.W_OK):
        folder = _user_cache()
    if folder is None:
        return "duckdb:///runs.duckdb"
    folder.mkdir(parents=True, exist_ok=True)
    return f"duckdb:///{folder}/runs.duckdb"


def _default_cache(known: dict[str, Any]) -> Path:
    folder: Path | None = known.get("data_dir")
    return _user_cache() if folder is None else folder / "cache"


def _default_port() -> int:
    """Return the port that the platform of a Space names."""
    named = os.environ.get("GRADIO_SERVER_PORT", "") if _on_a_space() else ""
    return int(named) if named.isdecimal() else 7860


def _offers_sign_in() -> bool:
    """Return whether the platform of a Space knows who a visitor is, if that visitor wants it."""
    needed = ("authlib", "itsdangerous")  # the platform installs them with Gradio
    # Without the secret anybody could sign the session of any account.
    named = (os.environ.get(name) for name in ("OAUTH_CLIENT_ID", "OAUTH_CLIENT_SECRET"))
    known = _on_a_space() and all(named)
    return known and all(find_spec(name) is not None for name in needed)


def _default_host() -> str:
    return "0.0.0.0" if _on_a_space() else "127.0.0.1"  # noqa: S104


class Settings(BaseSettings):
    """Options of the application: each is ``--name`` and the variable ``TOKENARIUM_NAME``."""

    model_config = SettingsConfigDict(
        env_prefix="TOKENARIUM_",
        frozen=True,
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_prog_name="tokenarium",
        extra="ignore",
    )

    host: str = Field(
        default_factory=_default_host,
        description="Address to listen on; 0.0.0.0 for all, which is the default on a Space.",
    )
    port: int = Field(
        default_factory=_default_port,
        ge=1,
        le=65535,
        description="Port to listen on; 7860, or the one that the platform of a Space names.",
    )
    data_dir: Path | None = Field(
        default_factory=_lasting_folder,
        description="Folder that lasts: runs and what is fetched go there unless --database or "
        "--cache-dir say otherwise. On a Space it is /data where a disk is mounted there.",
    )
    database: str = Field(
        default_factory=_default_database,
        description="SQLAlchemy URL of the run store, duckdb:///runs.duckdb if left out; "
        "duckdb:///:memory: keeps nothing.",
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        "auto", description="Where models run; auto takes a GPU where there is one."
    )
    engine: str = Field(
        "local",
        pattern=r"^(local|ray(://[\w.\[\]:-]+)?)$",
        description="Where runs are computed: local, in this process; ray, by workers that Ray "
        "starts on this machine; ray://HOST:PORT, by workers of a Ray cluster. Ray comes with pip "
        "install 'tokenarium[scale]'.",
    )
    workers: int = Field(
        2, ge=1, description="Workers of Ray at most, of all models together; each holds a model."
    )
    model_workers_min: int = Field(
        0, ge=0, description="Workers of one model that are kept although no run needs them."
    )
    model_workers_max: int = Field(
        2, ge=1, description="Workers of one model at most: as many of its runs go on at once."
    )
    worker_idle_seconds: float = Field(
        600.0, gt=0, description="Time without a run after which a worker is ended."
    )
    worker_niceness: int = Field(
        5,
        ge=0,
        le=19,
        description="How far Ray's workers stand back for other programs of their machine, such as "
        "the one that serves the pages: 0 not at all; 5 to a third, 10 to a tenth, 19 to a "
        "seventieth of what it has, where both want all.",
    )
    statistics: Literal["auto", "panels", "native"] = Field(
        "auto",
        description="What computes statistics of attention and predictions on a CPU: panels "
        "(PyTorch), a native kernel (C, compiled at the start where a compiler is "
        "found), or whichever is faster.",
    )
    hosted: bool = Field(
        default_factory=_on_a_space,
        description="Public mode: limits, model allow-list, private runs. On by itself on a Space.",
    )
    models_dir: Path | None = Field(
        None, description="Folder whose sub-folders are offered as models named local/NAME."
    )
    cache_dir: Path = Field(
        default_factory=_default_cache,
        description="Folder for what is fetched or converted: the default model, GGUF files.",
    )
    fetch: bool = Field(
        True,
        description="Fetch the default model, 93 MB, where it is not here; or --no-fetch.",
    )
    max_tokens: int = Field(
        32_768, ge=1, description="Longest text accepted, in tokens, outside hosted mode."
    )
    hosted_max_tokens: int = Field(
        1_024, ge=1, description="Longest text accepted from a visitor, in tokens."
    )
    hosted_max_seconds: float = Field(
        60.0, gt=0, description="Longest computation for a visitor, in seconds."
    )
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Host names the page answers to beside localhost and --host, comma-separated: "
        "for Docker, tunnels and notebooks in the cloud; *.example.org for all that end so, * for "
        "all. In hosted mode all are answered unless some are given.",
    )
    frame_ancestors: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Sites that may show the hosted page in a frame beside Hugging Face, "
        "comma-separated, such as https://example.org.",
    )
    hosted_models: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Models a visitor may load beside the bundled ones, comma-separated."
    )
    hosted_requests: int = Field(
        4, ge=1, description="Requests one visitor may have running or waiting at once."
    )
    hosted_address_requests: int = Field(
        8,
        ge=1,
        description="Requests all visitors of one address may have running or waiting at once.",
    )
    class_requests: int = Field(
        40,
        ge=1,
        description="Requests the members of one class may have running or waiting at once, "
        "wherever they are; of all classes together, four times as many.",
    )
    behind_proxy: bool = Field(
        default_factory=_on_a_space,
        description="Take a visitor's address from X-Forwarded-For, as the proxy in front of the "
        "app sets it; otherwise from the connection. On by itself on a Space.",
    )
    sign_in: bool = Field(
        default_factory=_offers_sign_in,
        description="Offer visitors of a Space to sign in with their Hugging Face account, which "
        "their runs then belong to, whatever browser they come with. On by itself on a Space with "
        "hf_oauth; elsewhere nobody knows accounts.",
    )
    hosted_keep_hours: float = Field(
        24.0, gt=0, description="A visitor's runs are deleted after this many hours."
    )
    log: Literal["text", "json"] = Field(
        "text",
        description="How the log is written: text, or one JSON object a line, every run's kind, "
        "model and seconds in it and no word of a visitor.",
    )
    telemetry: str = Field(
        "",
        pattern=r"^(https?://\S+)?$",
        description="OpenTelemetry collector (OTLP over HTTP) that metrics and traces of runs are "
        "sent to, such as http://localhost:4318; empty sends nothing. It needs pip install "
        "'tokenarium[telemetry]'.",
    )
    queue_size: int = Field(16, ge=1, description="Requests that may wait before 'busy' is shown.")
    database_limit_mb: int = Field(
        2_048, ge=16, description="Size above which the oldest unpinned arrays are dropped."
    )
    query_rows: int = Field(1_000, ge=1, description="Rows a SQL query may return.")
    query_seconds: float = Field(5.0, gt=0, description="Time a SQL query may take.")

    @field_validator("allowed_hosts", "frame_ancestors", "hosted_models", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(name.strip() for name in value.split(",") if name.strip())
        return value

    @field_validator("allowed_hosts")
    @classmethod
    def _lower(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if wrong := [name for name in names if not _HOST_NAME.fullmatch(name)]:
            raise ValueError(
                f"allowed_hosts={wrong[0]!r} is no host name: give one without scheme and port, "
                "such as example.org or *.example.org"
            )
        return tuple(name.lower() for name in names)

    @field_validator("sign_in")
    @classmethod
    def _on_a_space_only(cls, wanted: bool) -> bool:
        if wanted and not _offers_sign_in():
            raise ValueError(
                "sign_in=True needs a Space with hf_oauth: true in its README, and gradio[oauth]: "
                "leave it out elsewhere"
            )
        return wanted

    @field_validator("frame_ancestors")
    @classmethod
    def _sites(cls, sites: tuple[str, ...]) -> tuple[str, ...]:
        if wrong := [site for site in sites if not _SITE.fullmatch(site)]:
            raise ValueError(
                f"frame_ancestors={wrong[0]!r} is no site: give one such as https://example.org"
            )
        return sites

    @property
    def token_limit(self) -> int:
        """Longest text accepted in the current mode, in tokens."""
        return min(self.max_tokens, self.hosted_max_tokens) if self.hosted else self.max_tokens
