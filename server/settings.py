"""Settings: every one, from the environment. docs/settings.md lists them; a test holds the two together."""

from __future__ import annotations

import ipaddress
import os
import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

DEFAULT = "default"  # the partition of the service base itself, which has no name in URLs
MAX_NAME = 32  # characters of a partition's name
_MONGODBS_OWN = frozenset({"admin", "config", "local"})
MAX_DATABASE = 63  # bytes of a MongoDB database's name
_NAME = re.compile(rf"[a-z][a-z0-9-]{{0,{MAX_NAME - 1}}}").fullmatch
_OURS = {DEFAULT, "metadata"}  # what would be names, and mean something else


def cores() -> int:
    """The processors that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Settings(BaseSettings):
    """Each field is the environment variable CAREPLAN_<FIELD>."""

    model_config = SettingsConfigDict(env_prefix="CAREPLAN_", frozen=True)

    store: str = Field(
        default="sqlite:///data/careplan.db",
        description="Where the ledger is kept: `sqlite:///<path>`, or `mongodb://<host>/<database>`.",
    )
    partitions: str = Field(
        default="",
        description="Names of partitions beside the default one, by commas, such as `ia,ny`: each is a ledger of its "
        "own at `/fhir/<name>`.",
    )
    host: str = Field(
        default="127.0.0.1", description="The address to listen on; loopback only, while no login is configured."
    )
    port: Annotated[int, Field(ge=0, le=65535)] = Field(
        default=8000, description="The port to listen on; 0 takes a free one."
    )
    workers: Annotated[int, Field(ge=1)] = Field(
        default_factory=cores,
        description="Server processes on the one store.",
        json_schema_extra={"shown": "the cores"},
    )
    demo: bool = Field(default=True, description="Load a small example population into a store that is empty.")
    base_url: str = Field(
        default="",
        description="The public base URL, such as `https://fhir.example.org/fhir`; empty: as each request names it.",
    )
    trust_proxy: bool = Field(
        default=False, description="Believe `Forwarded` and `X-Forwarded-*`: only behind a proxy that sets them itself."
    )
    max_body: Annotated[int, Field(ge=1024)] = Field(
        default=64 * 1024 * 1024, description="The largest request body, in bytes, after decompression."
    )
    patience: Annotated[float, Field(gt=0)] = Field(
        default=30, description="Seconds that a client has to send a request's head, and again its body; then 408."
    )
    cors: str = Field(
        default="",
        description="Origins whose web pages may use the API, such as `https://app.example.org`, with blanks between; "
        "`*`: all; none by default.",
    )
    versioned: str = Field(
        default="",
        description="Types, with blanks between, whose changes must name a version by `If-Match`, else 428; `*`: all.",
    )
    conditional_delete: Literal["single", "multiple"] = Field(
        default="single",
        description="What `DELETE [type]?…` does where several match: `single` refuses, `multiple` deletes all.",
    )
    search_timeout: Annotated[float, Field(gt=0)] = Field(
        default=10, description="Seconds that one search may take; then it is broken off, and answered with 503."
    )
    queue: Annotated[int, Field(ge=1)] = Field(
        default=10_000, description="Writes that may wait in one process; more are refused with 503 and Retry-After."
    )
    page_horizon: Annotated[float, Field(gt=0)] = Field(
        default=86_400, description="Seconds that the link to a search's next page stays good; an older one is a 410."
    )
    profiles: str = Field(
        default="enforce",
        description="What becomes of a write that breaks a profile which it declares: `off`, `warn` or `enforce`, "
        "and for single types `Type=level`, by commas.",
    )
    oversight_interval: Annotated[float, Field(ge=0)] = Field(
        default=300,
        description="Seconds at most between a change and the look for breaches of a limit, which comes sooner where "
        "nobody writes; 0: none.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least severe event that is logged."
    )

    @field_validator("store")
    @classmethod
    def _known_engine(cls, store: str) -> str:
        if store.startswith(("mongodb://", "mongodb+srv://")):
            database = urlsplit(store).path.strip("/")
            if not database or "." in database or database in _MONGODBS_OWN:
                raise ValueError(
                    "a MongoDB is named with a database of the store's own, whose name has no dot: "
                    "mongodb://<host>/careplan"
                )
        elif not store.startswith("sqlite:///") or store == "sqlite:///":
            raise ValueError(
                "a store is named sqlite:///<path>, such as sqlite:///data/careplan.db, or mongodb://<host>/<database>"
            )
        return store

    @field_validator("partitions")
    @classmethod
    def _names(cls, partitions: str) -> str:
        names = [name.strip() for name in partitions.split(",") if name.strip()]
        for name in names:
            if not is_partition_name(name) or name in _OURS:
                raise ValueError(
                    f"{name[:80]!r} is no name of a partition: that is a lower-case letter, then lower-case letters, "
                    f"digits and hyphens, {MAX_NAME} characters at most, and neither of {', '.join(sorted(_OURS))}"
                )
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"{', '.join(sorted(twice))} is named twice")
        return ",".join(names)

    @field_validator("profiles")
    @classmethod
    def _known_levels(cls, profiles: str) -> str:
        for part in profiles.split(","):
            if part.rpartition("=")[2].strip() not in {"off", "warn", "enforce"}:
                raise ValueError("a level is off, warn or enforce; one of a type is Type=level: warn,Goal=enforce")
        return profiles

    @field_validator("base_url")
    @classmethod
    def _absolute(cls, base_url: str) -> str:
        if base_url and not base_url.startswith(("http://", "https://")):
            raise ValueError("the base URL is absolute, such as https://fhir.example.org/fhir")
        return base_url.rstrip("/")

    @field_validator("cors")
    @classmethod
    def _origins(cls, cors: str) -> str:
        for origin in cors.split():
            if origin != "*" and not re.fullmatch(r"https?://[^/\s]+", origin):
                raise ValueError(f"{origin!r} is no origin: scheme and host, such as https://app.example.org, or *")
        return cors

    @model_validator(mode="after")
    def _databases(self) -> Settings:
        database = urlsplit(self.store).path.strip("/")
        for name in self.named:
            if self.store.startswith("mongodb") and len(f"{database}-{name}") > MAX_DATABASE:
                raise ValueError(
                    f"the partition {name} is kept in the database {database}-{name}, and MongoDB takes names of "
                    f"{MAX_DATABASE} characters at most"
                )
        return self

    @property
    def named(self) -> tuple[str, ...]:
        """The partitions beside the default one."""
        return tuple(self.partitions.split(",")) if self.partitions else ()

    @model_validator(mode="after")
    def _loopback(self) -> Settings:
        if not is_loopback(self.host):
            raise ValueError(
                f"{self.host} can be reached from other machines, and no authentication is configured: "
                "listen on 127.0.0.1 (CAREPLAN_HOST), with an authenticating proxy before it where others must come in"
            )
        return self


def is_partition_name(text: str) -> bool:
    """True where FHIR itself has no such place below its base: types are capitalised, the rest begins with _ or $."""
    return _NAME(text) is not None


def is_loopback(host: str) -> bool:
    """True where only this machine can reach the host."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
