"""Microsoft's own client of Graph against the sandbox: what it understands, a client of Graph understands."""
