"""What each server of this machine is made of, one file each.

Reading order: `server` (what a server says about itself), `artefacts` (what the lock holds, and how it is renewed),
`install` (lock -> cache), `java`, `unprivileged` (servers that refuse to be root's), then `kafka` and the others, and
`catalogue` (all of them).
"""
