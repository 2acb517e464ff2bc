"""What provider authors test with; install it with ``email-gateway[testing]``.

`gateway.testing.conformance` is the suite that every provider passes, `gateway.testing.context` lends a session
credentials and numbers, `gateway.testing.clock` is a clock that stands still, `gateway.testing.pieces` has messages
that come in pieces, and `gateway.testing.fault_proxy` makes a network misbehave. `gateway.testing.plugin` is loaded by
pytest itself, so importing this package has to stay cheap.
"""
