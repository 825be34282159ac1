"""Any topic into any target: one contract, one runtime, one folder per target.

Read in this order:

1. `base`                             what a target promises
2. `runtime`                          polls topics and hands batches to tables
3. `postgres`, `opensearch`, `iceberg`  the targets
4. `latest_accepted`, `column_json`   what targets share
5. `group`                            the processes of a sink, and what they say of their tables
6. `cli`                              `olist sink`: run, rebuild, resolve, status
7. `readback`, `check`                targets read back, and compared with their topics
"""
