"""What each command does, in its own first sentence: `olist --help` shows it and imports no command."""

from __future__ import annotations

SUMMARIES = {
    "apps": "Run, deploy and watch stream apps.",
    "check": "Recompute the latest row per key from the topics and compare with every target, to the letter.",
    "compact": "Rewrite small files and deleted rows, expire snapshots.",
    "connect": "Deploy and watch the connectors that capture the shop's database.",
    "demo": (
        "Replay the Olist orders through topics and apps into three targets, and prove that they hold what "
        "the topics say."
    ),
    "doctor": "Look at versions, memory, disks, ports, limits and the cache, with a way out for each that is wrong.",
    "down": "Stop the servers, gracefully within a deadline.",
    "download": "Fetch the Brazilian E-Commerce data set by Olist from Kaggle (45 MB).",
    "generate": (
        "Write a synthetic data set with the real one's shapes: its status mix, gaps, contradictions and odd texts."
    ),
    "logs": "Show the last lines of one server's log, or of all of them and of their supervisor.",
    "marts": "Views over the warehouse for BI tools: facts and dimensions, in the schema `mart`.",
    "replay": (
        "Write the Olist orders' lives to Kafka as change events, in event-time order; or to the shop as transactions."
    ),
    "settings": (
        "List every setting with its environment variable, value and meaning; `*` marks what is not the default."
    ),
    "shop": "The shop's database, from which change data capture takes its changes.",
    "sink": "Carry topics to a target, exactly once where the target can.",
    "stack": "What the servers are made of: renew the lock, fill the cache, make the lake's bucket elsewhere.",
    "status": "Show every server: state, address, process, memory; and what replication slots keep.",
    "topics": "Look at topics: what is there, how it is set, which changes it holds.",
    "up": "Start the servers of this machine and wait until all are ready; those that run are left alone.",
}
