"""The REST API.

    operation    an operation: a typed function, and what routing, tokens and documentation must know of it
    catalogue    all of them; the controllers are the modules named after resources
    endpoint     makes Litestar route handlers of operations: authenticate, read, run, encode
    guards       who may call what
    requests     query, body, timeout; `validation` checks them against structs
    replies      bodies that are ready, and downloads
    errors       errors become HTTP here and nowhere else
    openapi      the document; `schemas` describes the structs, `docs` shows it all
    services     what controllers need from the rest of the gateway
    dispatch     has an account's worker do something

A controller takes a `gateway.api.call.Call` and structs, and returns a struct, JSON octets or a `Download`. It knows
neither Litestar nor status codes.
"""
