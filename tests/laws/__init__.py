"""The laws that every sink obeys, on the real servers and on a fake in memory.

A law is a sentence about `sinks.base.SinkTable`; it knows no target. A target joins with one line in `targets.py`.
"""
