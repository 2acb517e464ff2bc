"""The message submission agent (RFC 6409): an SMTP server for programs that know no REST API.

What it takes goes the way of `POST /v1/account/{account}/submit`: into the outbox of the account, and from there out by
whatever the account sends with.
"""
