"""The partition that Kafka's Java clients give a key, for many keys at once.

Source: `org.apache.kafka.common.utils.Utils.murmur2` and `BuiltInPartitioner.partitionForKey`. librdkafka computes the
same under ``partitioner=murmur2_random``. It is computed here because the replayer must know a change's partition
before it sends it: that is how it knows which changes are on the topics already.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

SEED, FACTOR = np.uint32(0x9747B28C), np.uint32(0x5BD1E995)
POSITIVE = np.uint32(0x7FFFFFFF)
BLOCK_BYTES = 4


def partitions_of(keys: pl.Series, partitions: int) -> NDArray[np.int32]:
    """The partition of each key (text, hashed as UTF-8)."""
    return ((murmur2(keys) & POSITIVE) % np.uint32(partitions)).astype(np.int32)


def murmur2(keys: pl.Series) -> NDArray[np.uint32]:
    """The hash of each key, keys of one length together."""
    data = np.frombuffer("".join(keys.to_list()).encode(), dtype=np.uint8)
    lengths = keys.str.len_bytes().to_numpy().astype(np.int64)
    starts = np.cumsum(lengths) - lengths
    hashes = np.empty(len(keys), dtype=np.uint32)
    for length in np.unique(lengths):
        here = np.flatnonzero(lengths == length)
        hashes[here] = _hash(data[starts[here, None] + np.arange(length)])
    return hashes


def _hash(keys: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Hash the rows of a matrix of bytes. Overflow is the algorithm."""
    length = keys.shape[1]
    whole = length - length % BLOCK_BYTES
    blocks = np.ascontiguousarray(keys[:, :whole]).view("<u4").astype(np.uint32)
    hashes = np.full(len(keys), SEED ^ np.uint32(length), dtype=np.uint32)
    for column in range(blocks.shape[1]):
        block = blocks[:, column] * FACTOR
        block ^= block >> np.uint32(24)
        hashes = (hashes * FACTOR) ^ (block * FACTOR)
    if whole < length:
        for place in range(length - whole):
            hashes ^= keys[:, whole + place].astype(np.uint32) << np.uint32(8 * place)
        hashes *= FACTOR
    hashes ^= hashes >> np.uint32(13)
    hashes *= FACTOR
    return hashes ^ (hashes >> np.uint32(15))
