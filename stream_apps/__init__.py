"""Apps that read topics and write topics: `apps/` holds them, `app.py` says what one is, the rest runs them.

    app.py, catalogue.py    what an app declares; the apps there are
    apps/, flink_sql/       the apps; the SQL that their files share
    engine.py               what the deployer asks of an engine, and what it answers
    records.py, loader.py, app_topics.py, savepoints.py, consumer_groups.py
                            what both sides of that contract know: files, names, topics, groups
    flink/, faust/          the two engines
    deploy/                 keeps, upgrades, watches and renders deployed apps
    cli/                    `olist apps`

Arrows: `cli -> deploy -> flink, faust -> the files of this folder`, which import none of the folders.
"""
