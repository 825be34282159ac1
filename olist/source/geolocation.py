"""Geolocation's documented reduction: one row per zip prefix from many points and exact duplicates."""

from __future__ import annotations

import polars as pl

from olist.source.columns import ColumnNames
from olist.source.typed import frame_schema
from olist.tables import GEOLOCATION

DECIMALS = 6  # of a degree: 0.1 m


def reduce_geolocation(points: pl.DataFrame) -> pl.DataFrame:
    """One row per zip prefix, ordered by prefix, whatever the order of the points.

    Latitude and longitude are the medians of the prefix's distinct points; city and state are the pair that most of
    its lines name, ties broken alphabetically.
    """
    names = ColumnNames(GEOLOCATION)
    zip_prefix = names.geolocation_zip_code_prefix
    point = [names.geolocation_lat, names.geolocation_lng]
    place = [names.geolocation_city, names.geolocation_state]
    centres = points.unique([zip_prefix, *point]).group_by(zip_prefix).agg(pl.col(point).median().round(DECIMALS))
    places = (
        points.group_by(zip_prefix, *place)
        .agg(pl.len().alias("lines"))
        .sort("lines", *place, descending=[True, False, False])
        .unique(zip_prefix, keep="first", maintain_order=True)
    )
    return centres.join(places, on=zip_prefix).sort(zip_prefix).select(*frame_schema(GEOLOCATION))
