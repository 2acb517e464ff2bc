"""Real servers for tests: Redis, Dovecot, Postfix and a certified OpenID provider.

Every rig lives in a temporary directory of its own on ports that no other test process has, is started once for each
pytest-xdist worker, and takes its whole process group with it when it stops. The fixtures are in
`tests.rigs.fixtures`; the worlds that the acceptance suite signs in to are described in `tests.rigs.labs`.
"""
