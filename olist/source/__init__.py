"""The Kaggle data set as typed frames: what the replayer replays and what `olist check` compares with."""

from olist.source.dataset import Dataset, iter_rows, load, read

__all__ = ["Dataset", "iter_rows", "load", "read"]
