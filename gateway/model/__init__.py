"""The wire resources as msgspec structs, one module per resource.

They use IMAP's words (RFC 9051) because the wire API does. Providers fill them in directly, so that mail data is
translated once, and an answer is encoded once, where it arose.
"""
