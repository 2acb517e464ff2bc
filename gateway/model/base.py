"""The two kinds of wire structs: what the gateway answers, and what it accepts."""

from __future__ import annotations

import atexit
import gc

import msgspec

# The collection at the end of the interpreter crashes inside msgspec now and then once types were inspected
# (https://github.com/msgspec/msgspec/issues/717); what is frozen is not collected any more.
atexit.register(gc.freeze)


class Resource(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Something the API answers: camelCase on the wire, absent rather than null, booleans only when true."""


class Payload(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Something the API accepts: an unknown key is refused, not ignored."""
