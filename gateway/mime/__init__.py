"""Messages as octets: composing, taking apart, decoding (RFC 5322, RFC 2045 to 2049, RFC 2231, RFC 6532).

`gateway.mime.compose` makes the octets of an outgoing message and its envelope; `gateway.mime.parse` reads a message
whose octets are at hand; `gateway.mime.decode` decodes single headers, parameters, charsets and transfer encodings for
providers that fetch a message in pieces. Reading never raises because of what is in a mail; what cannot be decoded is
shown as well as possible.
"""
