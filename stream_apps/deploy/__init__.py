"""Deployments of apps on one machine: what is wanted, the versions it is made of, and how it is kept so.

`record` and `folder` say what a deployment is, `engine` what Flink and Faust have in common, `upgrade`, `health` and
`reconcile` decide, `operations` and `keeper` do. Nothing here knows an app by name.
"""
