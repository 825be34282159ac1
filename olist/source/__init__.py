"""The Kaggle data set as typed frames: what the replayer replays and what `olist check` compares with.

Reading order: `files` (a zip or a folder), `layout` (lines of CSV), `typed` (fields to types), `dataset` (all of it).
"""

from olist.source.dataset import Dataset, iter_rows, load, read

__all__ = ["Dataset", "iter_rows", "load", "read"]
