from __future__ import annotations

import re
from pathlib import Path

from olist.settings import Settings

COMPOSE = (Path(__file__).parents[2] / "compose.yaml").read_text(encoding="utf-8")


def test_compose_offers_the_same_default_ports_on_loopback() -> None:
    published = re.findall(r'ports: \["(.*):\d+"\]', COMPOSE)
    fields = Settings.model_fields
    expected = [fields[f"{name}_port"].default for name in ("kafka", "postgres", "s3", "opensearch")]
    assert published == [f"127.0.0.1:{port}" for port in expected]


def test_every_service_of_compose_says_when_it_is_healthy() -> None:
    assert COMPOSE.count("healthcheck:") == COMPOSE.count("image:") == 4


def test_compose_names_no_image_without_a_version() -> None:
    assert all(re.search(r":\d", image) for image in re.findall(r"image: (.*)", COMPOSE))
