"""The receiver of delivery tests: an SMTP server (RFC 5321) for mail from outside.

It takes nothing but messages to addresses that were made for a test, says what it makes of them, and keeps none.
"""
