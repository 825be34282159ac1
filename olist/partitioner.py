"""Which partition a key is in: the default partitioner of Kafka's Java clients, for one key or for many at once.

Source: Apache Kafka, `org.apache.kafka.common.utils.Utils.murmur2` and `BuiltInPartitioner.partitionForKey`. librdkafka
computes the same under ``partitioner=murmur2_random``; its own default is another one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # who hashes a single key need not load it
    import polars as pl

SEED, FACTOR, WORD, POSITIVE = 0x9747B28C, 0x5BD1E995, 0xFFFFFFFF, 0x7FFFFFFF
BLOCK = 4  # bytes
LONGEST_TOGETHER = 512  # bytes; a round over all keys for each block of a longer one would cost more than it saves
AT_ONCE = 8192  # keys: what is computed of so many stays in the processor's cache
LINE_END = ord("\n")
WITHIN_REST = np.array([0, 0xFF, 0xFFFF, 0xFFFFFF], dtype=np.uint32)  # of a word that begins with so many bytes


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of a key in a topic of so many partitions."""
    return (murmur2(key) & POSITIVE) % partitions


def murmur2(data: bytes) -> int:
    """Kafka's 32-bit murmur2, unsigned."""
    whole = len(data) & ~3
    mixed = SEED ^ len(data)
    for at in range(0, whole, BLOCK):
        word = int.from_bytes(data[at : at + BLOCK], "little") * FACTOR & WORD
        word = (word ^ (word >> 24)) * FACTOR & WORD
        mixed = (mixed * FACTOR & WORD) ^ word
    if rest := data[whole:]:
        mixed = (mixed ^ int.from_bytes(rest, "little")) * FACTOR & WORD
    mixed = (mixed ^ (mixed >> 13)) * FACTOR & WORD
    return mixed ^ (mixed >> 15)


def partitions_of(keys: pl.Series, partitions: int) -> NDArray[np.int32]:
    """The partition of each key (text, hashed as UTF-8)."""
    lengths = keys.str.len_bytes().to_numpy().astype(np.int64)
    return _partitions("".join(keys.to_list()).encode(), np.cumsum(lengths) - lengths, lengths, partitions)


def partitions_of_lines(lines: bytes, partitions: int) -> NDArray[np.int32]:
    r"""The partition of each key; each ends with ``\n`` and has none inside, as a line of JSON."""
    ends = np.flatnonzero(np.frombuffer(lines, dtype=np.uint8) == LINE_END)
    starts = np.concatenate(([0], ends[:-1] + 1))[: len(ends)]
    return _partitions(lines, starts, ends - starts, partitions)


def _partitions(
    data: bytes, starts: NDArray[np.int64], lengths: NDArray[np.int64], partitions: int
) -> NDArray[np.int32]:
    longest_first = np.argsort(-lengths, kind="stable")  # so that keys hashed together are about as long
    starts, lengths = starts[longest_first], lengths[longest_first]
    long, padded = np.count_nonzero(lengths > LONGEST_TOGETHER), data + bytes(LONGEST_TOGETHER + BLOCK)
    in_order = [
        murmur2(data[start : start + length]) for start, length in zip(starts[:long], lengths[:long], strict=True)
    ]
    parts = [np.array(in_order, dtype=np.uint32)]
    for begin in range(long, len(starts), AT_ONCE):
        part = slice(begin, begin + AT_ONCE)
        parts.append(_hashes(padded, starts[part], lengths[part].astype(np.int32)))
    hashes = np.empty(len(starts), dtype=np.uint32)
    hashes[longest_first] = np.concatenate(parts)
    return ((hashes & np.uint32(POSITIVE)) % np.uint32(partitions)).astype(np.int32)


def _hashes(data: bytes, starts: NDArray[np.int64], lengths: NDArray[np.int32]) -> NDArray[np.uint32]:
    """The hash of each stretch of bytes, longest first, a block of all of them at a time. Overflow is the algorithm.

    Those that have an n-th block are always the first so many.
    """
    words = _words(data, starts, int(lengths[0]) // BLOCK + 1)
    mixed = np.uint32(SEED) ^ lengths.view(np.uint32)
    blocks, factor = lengths // BLOCK, np.uint32(FACTOR)
    for block, here in enumerate(len(lengths) - np.cumsum(np.bincount(blocks)[:-1])):
        word = words[block, :here] * factor
        word ^= word >> np.uint32(24)
        word *= factor
        mixed[:here] *= factor
        mixed[:here] ^= word
    rest = lengths % BLOCK
    last = words[blocks, np.arange(len(lengths))] & WITHIN_REST[rest]
    mixed = np.where(rest, (mixed ^ last) * factor, mixed)
    mixed ^= mixed >> np.uint32(13)
    mixed *= factor
    return mixed ^ (mixed >> np.uint32(15))


def _words(data: bytes, starts: NDArray[np.int64], count: int) -> NDArray[np.uint32]:
    """So many little-endian words from each start on: shape (words, starts)."""
    width = count * BLOCK
    windows: NDArray[np.void] = np.ndarray((len(data) - width + 1,), dtype=f"V{width}", buffer=data, strides=(1,))
    return np.ascontiguousarray(windows[starts].view("<u4").reshape(len(starts), count).T)
