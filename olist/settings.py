"""Typed settings: env name, default, what it means. The only reader of the environment.

Every field is read from ``OLIST_<NAME>`` or a line of ``.env`` in the working folder; an empty value is none, so that
the default counts. A server whose address is given
(``OLIST_KAFKA``, ``OLIST_POSTGRES``, ``OLIST_S3``, ``OLIST_OPENSEARCH``, ``OLIST_CONNECT``, ``OLIST_FLINK``) is used as
it is and not started here.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import platformdirs
from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from olist.errors import BadInput


class Settings(BaseSettings):
    """All settings. Read once at the edge (`settings()`), then passed in."""

    model_config = SettingsConfigDict(
        env_prefix="OLIST_", env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True
    )

    home: Path = Field(Path(".olist"), description="data, logs and run state of the local servers")
    cache: Path = Field(
        Path(platformdirs.user_cache_dir("olist")), description="downloaded servers, shared by every checkout of a user"
    )
    offline: bool = Field(False, description="never download; fail when the cache lacks something")

    kafka: str | None = Field(None, description="bootstrap servers of a Kafka that is already there")
    kafka_port: int = Field(19092, description="port of the local Kafka")
    kafka_controller_port: int = Field(19093, description="port of the local Kafka's controller")
    kafka_heap_mb: int = Field(512, description="heap of the local Kafka")
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="how clients speak to the Kafka that `OLIST_KAFKA` names"
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] | None = Field(
        None, description="how clients authenticate, with a SASL_ protocol"
    )
    kafka_sasl_username: str | None = Field(None, description="user of PLAIN and SCRAM")
    kafka_sasl_password: SecretStr | None = Field(None, description="that user's password")
    kafka_ssl_ca: Path | None = Field(
        None, description="PEM file of the authorities that sign the brokers' certificates; default: the system's own"
    )
    kafka_ssl_certificate: Path | None = Field(None, description="PEM file of the client's certificate and its chain")
    kafka_ssl_key: Path | None = Field(None, description="PEM file (PKCS #8) of the client certificate's key")
    kafka_ssl_key_password: SecretStr | None = Field(None, description="password of that key")
    kafka_oauth_token_url: str | None = Field(None, description="token endpoint of OAUTHBEARER (client credentials)")
    kafka_oauth_client_id: str | None = Field(None, description="client id at the token endpoint")
    kafka_oauth_client_secret: SecretStr | None = Field(None, description="client secret at the token endpoint")
    kafka_oauth_scope: str | None = Field(None, description="scope to ask the token endpoint for")

    postgres: str | None = Field(None, description="connection URL of a PostgreSQL that is already there")
    postgres_port: int = Field(15432, description="port of the local PostgreSQL")
    postgres_bin: Path | None = Field(None, description="folder of a system's own PostgreSQL programs, 15 or later")

    s3: str | None = Field(None, description="endpoint URL of an S3 that is already there")
    s3_port: int = Field(18333, description="port of the local S3; its seven inner ports follow it")
    s3_bucket: str = Field("lake", description="bucket of the lake")
    s3_credentials: Literal["keys", "aws"] = Field(
        "keys", description="keys: the two below; aws: where AWS's own programs look (variables, a profile, a role)"
    )
    s3_access_key: str = Field("olist", description="S3 access key")
    s3_secret_key: SecretStr = Field(SecretStr("olist-secret"), description="S3 secret key")
    s3_region: str = Field("us-east-1", description="S3 region")

    opensearch: str | None = Field(None, description="URL of an OpenSearch that is already there")
    opensearch_port: int = Field(19200, description="port of the local OpenSearch")
    opensearch_heap_mb: int = Field(512, description="heap of the local OpenSearch")
    opensearch_username: str | None = Field(None, description="user of that OpenSearch, if the URL names none")
    opensearch_password: SecretStr | None = Field(None, description="that user's password")
    opensearch_ca: Path | None = Field(
        None, description="PEM file of the authorities that sign its certificate; default: those of the certifi package"
    )
    opensearch_aws_region: str | None = Field(
        None, description="sign every request for this AWS region, by the credentials that boto3 finds"
    )
    opensearch_aws_service: Literal["es", "aoss"] = Field("es", description="AWS service that requests are signed for")

    connect: str | None = Field(None, description="URL of a Kafka Connect (its REST API) that is already there")
    connect_port: int = Field(18083, description="port of the local Kafka Connect")
    connect_heap_mb: int = Field(512, description="heap of the local Kafka Connect")

    flink: str | None = Field(None, description="URL of a Flink session cluster (its REST API) that is already there")
    flink_port: int = Field(18081, description="port of the local Flink's REST API and web page")
    flink_inner_port: int = Field(18084, description="first of the local Flink's six inner ports")
    flink_slots: int = Field(6, ge=1, description="task slots of the local Flink: the sum of its jobs' parallelism")
    flink_jobmanager_heap_mb: int = Field(448, description="heap of the local Flink's JobManager")
    flink_taskmanager_heap_mb: int = Field(640, ge=256, description="heap of the local Flink's TaskManager")
    flink_state_mb: int = Field(512, description="memory of RocksDB, beside that heap, shared by all slots")
    flink_checkpoint_ms: int = Field(2000, ge=10, description="milliseconds between a Flink job's checkpoints")
    flink_env: Path | None = Field(
        None, description="Python environment that holds PyFlink; default: .venv-flink beside our own"
    )

    shop: str | None = Field(
        None, description="connection URL of the shop's database, captured by Debezium; default: `shop` beside ours"
    )
    shop_password: SecretStr | None = Field(None, description="its password, when the URL holds none")
    slot_warning_mb: int = Field(1024, ge=1, description="WAL kept for a replication slot that `olist status` warns of")
    mongodb: SecretStr | None = Field(None, description="connection URL of the MongoDB that reviews may live in")

    java_home: Path | None = Field(None, description="a Java of 21 or later to use instead of the wheel's")
    java_options: str = Field("", description="further options of every Java server, as the `java` program takes them")

    app_steady_s: float = Field(
        3.0, ge=0, description="seconds that a stream app must be well for before it is called healthy"
    )
    app_metrics_s: float = Field(10.0, gt=0, description="seconds between observations of the apps for /metrics")

    topic_prefix: str = Field("olist.public", description="topics are <prefix>.<table>")
    partitions: int = Field(4, ge=1, description="partitions of a topic that is created here")

    warehouse: str | None = Field(None, description="lake location; the default is s3://<bucket>/warehouse")
    catalog: str | None = Field(
        None, description="SQLAlchemy URL of the Iceberg catalog; default: the PostgreSQL above"
    )

    session_timeout_ms: int = Field(10_000, ge=6_000, description="a sink silent for this long loses its partitions")
    dead_letter_limit: int = Field(
        1000, ge=0, description="dead letters of one topic within a minute before its table stops"
    )
    patience_s: float = Field(
        240.0, gt=0, lt=290, description="seconds a sink waits for a server that is away before it gives up"
    )
    metrics_port: int | None = Field(None, description="serve /metrics of a long-running process on this loopback port")
    log_format: str = Field("console", pattern="^(console|json)$", description="console or json")
    log_level: str = Field("info", pattern="^(debug|info|warning|error)$", description="least severe level logged")

    @model_validator(mode="before")
    @classmethod
    def _without_blanks(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Blank means unset: an empty path would be the working folder, and `${VAR:-}` of a compose file is empty."""
        return {name: value for name, value in values.items() if not (isinstance(value, str) and not value.strip())}

    @property
    def kafka_bootstrap(self) -> str:
        """``host:port[,host:port]`` of the Kafka in use."""
        return self.kafka or f"127.0.0.1:{self.kafka_port}"

    @property
    def postgres_url(self) -> str:
        """libpq URL of the warehouse database in use."""
        return self.postgres or f"postgresql://olist@127.0.0.1:{self.postgres_port}/olist"

    @property
    def s3_url(self) -> str:
        """Endpoint URL of the S3 in use."""
        return self.s3 or f"http://127.0.0.1:{self.s3_port}"

    @property
    def opensearch_url(self) -> str:
        """URL of the OpenSearch in use."""
        return self.opensearch or f"http://127.0.0.1:{self.opensearch_port}"

    @property
    def connect_url(self) -> str:
        """URL of the Kafka Connect in use."""
        return self.connect or f"http://127.0.0.1:{self.connect_port}"

    @property
    def flink_url(self) -> str:
        """URL of the REST API of the Flink in use."""
        return self.flink or f"http://127.0.0.1:{self.flink_port}"

    @property
    def shop_url(self) -> str:
        """libpq URL of the shop's database: the source, not the warehouse."""
        return self.shop or urlsplit(self.postgres_url)._replace(path="/shop").geturl()

    @property
    def warehouse_location(self) -> str:
        """Where lake tables live: an ``s3://`` or ``file://`` URL."""
        return self.warehouse or f"s3://{self.s3_bucket}/warehouse"

    @property
    def catalog_url(self) -> str:
        """SQLAlchemy URL of the Iceberg SQL catalog."""
        url = self.catalog or self.postgres_url  # a plain URL means the driver that is here
        return url.replace("postgresql://", "postgresql+psycopg://", 1)

    def environment(self) -> dict[str, str]:
        """The environment of a child process that shall have these settings, whatever its own folder holds."""
        child = dict(os.environ)
        for name in type(self).model_fields:
            value = getattr(self, name)
            plain = value.get_secret_value() if isinstance(value, SecretStr) else value
            if plain is None:
                child.pop(f"OLIST_{name.upper()}", None)
            else:
                child[f"OLIST_{name.upper()}"] = str(plain)
        return child


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The process's settings.

    Raises:
        BadInput: a variable that does not parse, named with its value's problem; or a `.env` that is not UTF-8.
    """
    try:
        return Settings()
    except UnicodeDecodeError as error:
        raise BadInput(f".env: {error}", hint="save it as UTF-8") from error
    except ValidationError as error:
        problems = "; ".join(f"OLIST_{'_'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors())
        raise BadInput(f"settings: {problems}", hint="`olist settings` lists every setting with its default") from error
