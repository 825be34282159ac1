"""Deployments of apps on one machine: what is wanted, the versions it is made of, and how it is kept so.

    deployed_app.py     an app with its files, its engine, its Kafka and its clock
    store.py            a deployment on disk: its record, its lock, its versions
    operations.py       what a command does to one app
    upgrade_steps.py    the ways from one version to another, as tables (pure)
    upgrade.py          takes them
    topic_swap.py       a rebuilt version's rows in the place of the old one's
    readiness.py        wait until a version is healthy, has caught up, has nothing left to read
    lag.py, status.py   how far an app is behind; how every deployed app is
    reconcile.py        the one step that is due for an app
    supervisor.py       the process that takes it, each second
    metrics.py          what that process serves
    stack_hooks.py      `olist up` and `olist down` begin and end it
    foreground.py       `olist apps run`
    cleanup.py          remove what nobody goes back to
    kubernetes.py       an app as manifests
    engines.py          the engine of a name

Nothing here knows an app by name.
"""
