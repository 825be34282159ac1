"""How every client of OpenSearch reaches it: the one place that turns settings into a client library's options.

A user and a password (of the settings, or in the URL), or AWS's signature of every request by the credentials that
boto3 finds. The URL that is asked, and shown in errors, never holds a password.

The libraries of signed requests load where one is asked for: every command of the stack imports this module.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit

from olist.errors import BadInput
from olist.settings import Settings

User = tuple[str, str]


def client_options(settings: Settings) -> dict[str, Any]:
    """Options of `opensearchpy.OpenSearch`.

    Raises:
        BadInput: a setting that another one needs is missing, or a file is.
    """
    _check(settings)
    options: dict[str, Any] = {"hosts": endpoint(settings), "ca_certs": _ca(settings)}
    if settings.opensearch_aws_region is not None:
        from opensearchpy.helpers.signer import Urllib3AWSV4SignerAuth

        options["http_auth"] = Urllib3AWSV4SignerAuth(*_signer(settings))
    else:
        options["http_auth"] = user(settings)
    return {name: value for name, value in options.items() if value is not None}


def request_options(settings: Settings) -> dict[str, Any]:
    """The same for `requests`; the URL is `endpoint`.

    Raises:
        BadInput: as `client_options`.
    """
    _check(settings)
    auth: Any = user(settings)
    if settings.opensearch_aws_region is not None:
        from opensearchpy.helpers.signer import RequestsAWSV4SignerAuth

        auth = RequestsAWSV4SignerAuth(*_signer(settings))
    options = {"auth": auth, "verify": _ca(settings)}
    return {name: value for name, value in options.items() if value is not None}


def endpoint(settings: Settings) -> str:
    """The URL without user and password."""
    parts = urlsplit(settings.opensearch_url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def user(settings: Settings) -> User | None:
    """Who asks: of the settings, else of the URL."""
    if settings.opensearch_username is not None and settings.opensearch_password is not None:
        return settings.opensearch_username, settings.opensearch_password.get_secret_value()
    parts = urlsplit(settings.opensearch_url)
    return (unquote(parts.username), unquote(parts.password or "")) if parts.username else None


def _signer(settings: Settings) -> tuple[Any, str, str]:
    import boto3

    credentials = boto3.Session().get_credentials()
    if credentials is None:
        raise BadInput(
            "OLIST_OPENSEARCH_AWS_REGION wants signed requests, and boto3 finds no credentials to sign them with",
            hint="a role of the machine, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile",
        )
    return credentials, settings.opensearch_aws_region or "", settings.opensearch_aws_service


def _check(settings: Settings) -> None:
    if (settings.opensearch_username is None) != (settings.opensearch_password is None):
        raise BadInput("of OLIST_OPENSEARCH_USERNAME and OLIST_OPENSEARCH_PASSWORD one is set", hint="set both")
    if settings.opensearch_ca is not None and not settings.opensearch_ca.is_file():
        raise BadInput(f"OLIST_OPENSEARCH_CA={settings.opensearch_ca}: there is no such file")


def _ca(settings: Settings) -> str | None:
    return None if settings.opensearch_ca is None else str(settings.opensearch_ca)
