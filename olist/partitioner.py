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
AT_ONCE = 16384  # keys: what is computed of so many stays in the processor's cache
LINE_END = ord("\n")


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
    hashes = np.empty(len(starts), dtype=np.uint32)
    # Any four bytes as a little-endian word: a view of words that begin at every byte.
    words = np.ndarray((len(data) + 1,), dtype="<u4", buffer=data + bytes(BLOCK), strides=(1,))
    short = np.flatnonzero(lengths <= LONGEST_TOGETHER)
    for part in np.split(short, range(AT_ONCE, len(short), AT_ONCE)):
        hashes[part] = _hashes(words, starts[part], lengths[part])
    for at in np.flatnonzero(lengths > LONGEST_TOGETHER):
        hashes[at] = murmur2(data[starts[at] : starts[at] + lengths[at]])
    return ((hashes & np.uint32(POSITIVE)) % np.uint32(partitions)).astype(np.int32)


def _hashes(words: NDArray[np.uint32], starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.uint32]:
    """The hash of each stretch of bytes, a block of all of them at a time. Overflow is the algorithm.

    The longest come first, so that those which have an n-th block are always the first so many.
    """
    longest_first = np.argsort(-lengths, kind="stable")
    starts, lengths = starts[longest_first], lengths[longest_first]
    factor, blocks = np.uint32(FACTOR), lengths // BLOCK
    mixed = np.uint32(SEED) ^ lengths.astype(np.uint32)
    for block in range(int(blocks.max(initial=0))):
        here = np.count_nonzero(blocks > block)
        word = words[starts[:here] + BLOCK * block] * factor
        word ^= word >> np.uint32(24)
        mixed[:here] = (mixed[:here] * factor) ^ (word * factor)
    rest = np.flatnonzero(lengths % BLOCK)
    within = (np.uint32(1) << (8 * (lengths[rest] % BLOCK)).astype(np.uint32)) - np.uint32(1)
    mixed[rest] = (mixed[rest] ^ (words[starts[rest] + BLOCK * blocks[rest]] & within)) * factor
    mixed ^= mixed >> np.uint32(13)
    mixed *= factor
    mixed ^= mixed >> np.uint32(15)
    hashes = np.empty_like(mixed)
    hashes[longest_first] = mixed
    return hashes
