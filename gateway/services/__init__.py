"""Use cases: what the API, the hosted pages and the workers do with accounts, apps, tokens, grants and mail.

A service takes its stores, the clock and the queue as arguments, raises `gateway.errors` and knows neither HTTP nor
Redis nor a provider by name.
"""
