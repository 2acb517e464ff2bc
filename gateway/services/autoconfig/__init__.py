"""Finds the servers of a mail address.

- `service`: `AutoconfigService`, which lookups there are and in what order their answers count
- `providers`: what is known beforehand of large providers
- `names`: MX and SRV records (RFC 5321 section 5.1, RFC 6186, RFC 8314 section 5.1)
- `client_config`: the documents of Mozilla's autoconfiguration
- `address`: the address as these see it
"""

from __future__ import annotations

from gateway.services.autoconfig.names import Names
from gateway.services.autoconfig.service import AutoconfigService

__all__ = ["AutoconfigService", "Names"]
