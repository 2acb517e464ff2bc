"""Delivery tests: a message to the gateway's own receiver, which tells what others would make of it.

- `service`: `DeliveryTestService`, starts tests, knows which are open, and tells how they ended
- `evaluation`: all checks of one message; only the receiver loads it and the libraries behind it
- `signatures`, `spf`, `dmarc`, `bimi`: one kind of check each
- `lookup`: what the DNS says, within bounds
"""
