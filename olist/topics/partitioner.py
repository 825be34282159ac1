"""Which partition a key is in: the Java client's default partitioner, so that a key is looked for in one place.

Source: Apache Kafka, `org.apache.kafka.common.utils.Utils.murmur2`; librdkafka calls it ``murmur2``.
"""

from __future__ import annotations

SEED = 0x9747B28C
FACTOR = 0x5BD1E995
WORD = 0xFFFFFFFF


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of a key in a topic of so many partitions."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def murmur2(data: bytes) -> int:
    """Kafka's 32-bit murmur2, unsigned."""
    whole = len(data) & ~3
    mixed = SEED ^ len(data)
    for at in range(0, whole, 4):
        word = int.from_bytes(data[at : at + 4], "little") * FACTOR & WORD
        word = (word ^ (word >> 24)) * FACTOR & WORD
        mixed = (mixed * FACTOR & WORD) ^ word
    if rest := data[whole:]:
        mixed = (mixed ^ int.from_bytes(rest, "little")) * FACTOR & WORD
    mixed = (mixed ^ (mixed >> 13)) * FACTOR & WORD
    return mixed ^ (mixed >> 15)
