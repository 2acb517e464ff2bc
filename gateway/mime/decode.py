"""Decode headers, parameters, charsets and transfer encodings, also where a sender broke the rules.

Nothing here raises because of the content: mail in the wild breaks every one of these RFCs, and a listing must not
fail because of one message in it.
"""

from __future__ import annotations

import binascii
import codecs
import re
from collections.abc import Iterable
from contextlib import suppress
from typing import Protocol
from urllib.parse import unquote_to_bytes

__all__ = [
    "ENCODED",
    "TransferDecoder",
    "decode_header",
    "decode_parameters",
    "decode_text",
    "decode_transfer",
    "names_charset",
    "parse_parameters",
    "single_line",
    "transfer_decoder",
    "unfold",
]

#: Labels that senders use for a larger repertoire than the one registered under that name; the superset decodes both
#: (WHATWG Encoding Standard, section 4.2, "Names and labels").
_SUPERSETS = {
    "iso-8859-1": "cp1252",
    "latin1": "cp1252",
    "iso-8859-8-i": "iso-8859-8",
    "iso-8859-9": "cp1254",
    "iso-8859-11": "cp874",
    "tis-620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "x-gbk": "gb18030",
    "ks-c-5601": "cp949",
    "ks-c-5601-1987": "cp949",
    "euc-kr": "cp949",
    "shift-jis": "cp932",
    "x-sjis": "cp932",
    "unicode-1-1-utf-7": "utf-7",
    "utf8mb4": "utf-8",
}
#: No charset at all, or one that says nothing about octets above 127.
_UNLABELLED = {"", "ascii", "us-ascii", "ansi-x3.4-1968", "unknown-8bit", "x-unknown", "unknown", "default"}
#: Python's own, which are no charsets: what they make of octets is neither text that somebody wrote nor made in linear
#: time.
_NOT_CHARSETS = {"unicode-escape", "raw-unicode-escape", "idna", "punycode", "undefined"}
_SURROGATE = re.compile("[\ud800-\udfff]")
# An encoded-word (RFC 2047 section 2), also with spaces inside and longer than 75 characters. The text may not hold
# the start of another one, which keeps the search linear on hostile input; "=?=" is base64 padding and the end.
_ENCODED_WORD = re.compile(r"=\?([^?\s]{1,80})\?([bBqQ])\?((?:(?!=\?[^=\s]).)*?)\?=")
#: What no header can hold (RFC 5322 section 2.2); encoded-words can write it.
_NOT_IN_A_LINE = re.compile(r"[\r\n\0]+")
_Q_OCTET = re.compile(rb"=([0-9A-Fa-f]{2})")
_NOT_BASE64 = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="))
_PARAMETER = re.compile(r';\s*([^\s=;]+)\s*=\s*(?:"([^"\\]*(?:\\.[^"\\]*)*)"?|([^;]*))')
_CONTINUATION = re.compile(r"(.+?)(?:\*([0-9]{1,4}))?(\*)?")


# --- characters -------------------------------------------------------------------------------------------------------


def names_charset(label: str | None) -> bool:
    """Tell whether a charset parameter says something about octets above 127."""
    return _normal(label) not in _UNLABELLED


def _normal(label: str | None) -> str:
    return (label or "").strip(" \t'\"").lower().replace("_", "-")


def decode_text(data: bytes, charset: str | None = None, *, cut: bool = False) -> str:
    """Decode octets by the charset their sender names, or by the best guess when that one cannot be right.

    Args:
        data: octets after transfer decoding.
        charset: the label in the message; unknown and wrong ones are allowed.
        cut: the octets are the beginning of more; an incomplete last character is left out.
    """
    label = _normal(charset)
    named = _SUPERSETS.get(label, label)
    guesses = ("utf-8", "cp1252") if label in _UNLABELLED else (named, "utf-8")
    for guess in guesses:
        text = _decode(data, guess, "strict", cut)
        if text is not None:
            return text.removeprefix("\ufeff")
    return _decode(data, named, "replace", cut) or _decode(data, "cp1252", "replace", cut) or ""


def _decode(data: bytes, charset: str, errors: str, cut: bool) -> str | None:
    if charset in _NOT_CHARSETS:
        return None
    try:
        if cut:
            # Codecs that are not of text refuse this, and decoders that wait for more keep what is not complete.
            "".encode(charset)
            text = codecs.getincrementaldecoder(charset)(errors).decode(data)
        else:
            text = data.decode(charset, errors)
    except (LookupError, ValueError):
        # Other octets, no such codec, a codec that is not one of text, NUL in its name.
        return None
    # UTF-7 can write half a surrogate pair, which no UTF-8 can say on.
    return _SURROGATE.sub("\ufffd", text)


# --- headers ----------------------------------------------------------------------------------------------------------


def unfold(value: bytes | str) -> str:
    """Return a header value as one line without NUL; octets above 127 are UTF-8 (RFC 6532) or Windows-1252."""
    text = value if isinstance(value, str) else value.decode("ascii") if value.isascii() else decode_text(value)
    if "\n" in text or "\r" in text:
        text = re.sub(r"[\r\n]+(?=[ \t])", "", text)
    return single_line(text).strip(" \t")


def single_line(text: str) -> str:
    """Return a decoded value as one line without NUL, so that it can stand in the header of an answer."""
    # Nearly all are; this costs a tenth of the search.
    if text.isprintable() or not _NOT_IN_A_LINE.search(text):
        return text
    return _NOT_IN_A_LINE.sub(" ", text).strip(" \t")


def decode_header(value: bytes | str) -> str:
    """Decode the encoded-words of an unstructured header or a display name (RFC 2047); they make one line, too.

    Addresses have to be taken apart before, because a decoded name may hold a comma.
    """
    text = unfold(value)
    if "=?" not in text:
        return text
    decoded: list[str] = []
    charset, octets, position = "", b"", 0
    for match in _ENCODED_WORD.finditer(text):
        gap, position = text[position : match.start()], match.end()
        label = match[1].lower().partition("*")[0]
        # White space between two encoded-words is not shown (section 6.2), and a character may be split between them.
        if gap.strip() or label != charset:
            decoded += (decode_text(octets, charset), gap if gap.strip() or not charset else "")
            octets = b""
        charset = label
        octets += _word_octets(match[2], match[3])
    return single_line("".join((*decoded, decode_text(octets, charset), text[position:])))


def _word_octets(encoding: str, text: str) -> bytes:
    data = text.encode("utf-8", "replace")
    if encoding in "bB":
        return decode_transfer(data, "base64")
    return _Q_OCTET.sub(lambda match: bytes((int(match[1], 16),)), data.replace(b"_", b" "))


def parse_parameters(value: bytes | str) -> tuple[str, dict[str, str]]:
    """Split a header such as Content-Type into its lower-case value and decoded parameters (RFC 2045 section 5.1)."""
    text = unfold(value)
    main, _, rest = text.partition(";")
    pairs = []
    for match in _PARAMETER.finditer(";" + rest):
        quoted, plain = match[2], match[3]
        pairs.append((match[1], re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else _uncommented(plain)))
    return _uncommented(main).lower(), decode_parameters(pairs)


def _uncommented(text: str) -> str:
    return text.partition("(")[0].strip()


def decode_parameters(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Decode parameters as they stand in a header or a BODYSTRUCTURE: joined, with lower-case names (RFC 2231).

    A file name written as encoded-words, which RFC 2047 section 5 forbids and many senders do, is decoded too.
    """
    segments: dict[str, dict[int, tuple[str, bool]]] = {}
    for key, value in pairs:
        match = _CONTINUATION.fullmatch(key.lower())
        if match is not None:
            # An extended parameter wins over the plain one that stands beside it for old readers (RFC 5987).
            name = match[1] + ("*" if match[2] or match[3] else "")
            segments.setdefault(name, {}).setdefault(int(match[2] or 0), (value, match[3] is not None))
    decoded: dict[str, str] = {}
    for name, parts in segments.items():
        if name.endswith("*"):
            decoded[name[:-1]] = _joined([parts[number] for number in sorted(parts)])
        else:
            decoded.setdefault(name, decode_header(parts[0][0]))
    return decoded


def _joined(parts: list[tuple[str, bool]]) -> str:
    first, extended = parts[0]
    charset = None
    if extended and first.count("'") >= 2:
        charset, _, first = first.split("'", 2)
    if not any(quoted for _, quoted in parts):
        return decode_header("".join(text for text, _ in parts))
    octets = (
        unquote_to_bytes(text) if quoted else text.encode("utf-8", "replace")
        for text, quoted in ((first, extended), *parts[1:])
    )
    return single_line(decode_text(b"".join(octets), charset))


# --- transfer encodings -----------------------------------------------------------------------------------------------


class TransferDecoder(Protocol):
    """Decodes a body as it arrives; chunks may be cut anywhere."""

    def feed(self, chunk: bytes) -> bytes:
        """Return what can be decoded so far."""
        ...

    def finish(self) -> bytes:
        """Return the rest."""
        ...


class _Identity:
    """7bit, 8bit, binary (RFC 2045 section 6.2), and whatever is not known."""

    def feed(self, chunk: bytes) -> bytes:
        return chunk

    def finish(self) -> bytes:
        return b""


class _Base64:
    """RFC 2045 section 6.8; foreign octets are skipped, and data after padding is decoded too (joined messages)."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> bytes:
        data = self._rest + chunk
        lines = data.rfind(b"\n") + 1
        if lines and data.find(b"=", 0, lines) < 0:
            # Lines without padding, as nearly all of a body is, need no preparation if each is whole.
            with suppress(binascii.Error):
                decoded = binascii.a2b_base64(memoryview(data)[:lines])
                self._rest = data[lines:]
                return decoded
        return self._thorough(data)

    def _thorough(self, data: bytes) -> bytes:
        *runs, rest = data.translate(None, _NOT_BASE64).split(b"=")
        whole = len(rest) & ~3
        self._rest = rest[whole:]
        return b"".join(map(_base64_run, runs)) + binascii.a2b_base64(rest[:whole])

    def finish(self) -> bytes:
        decoded = self._thorough(self._rest)
        rest, self._rest = self._rest, b""
        return decoded + _base64_run(rest)


def _base64_run(run: bytes) -> bytes:
    if len(run) % 4 == 1:
        run = run[:-1]
    return binascii.a2b_base64(run + b"=" * (-len(run) % 4))


class _QuotedPrintable:
    """RFC 2045 section 6.7; white space at the end of a line is dropped (rule 3), a stray "=" is kept."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> bytes:
        data = self._rest + chunk
        # What these last octets mean depends on the next ones: "=", "=4", white space, CR.
        end = len(data.rstrip(b" \t\r"))
        end -= 1 if data[end - 1 : end] == b"=" else 2 if data[end - 2 : end - 1] == b"=" else 0
        self._rest = data[end:]
        *lines, last = data[:end].split(b"\n")
        return binascii.a2b_qp(b"\n".join((*map(_without_trailing_space, lines), last)))

    def finish(self) -> bytes:
        rest, self._rest = self._rest, b""
        return binascii.a2b_qp(_without_trailing_space(rest))


def _without_trailing_space(line: bytes) -> bytes:
    return line.rstrip(b" \t\r") + (b"\r" if line.endswith(b"\r") else b"")


#: Content-Transfer-Encodings that change the octets; the others say what octets there are (RFC 2045 section 6.2).
ENCODED = frozenset({"base64", "quoted-printable"})


def transfer_decoder(encoding: str | None) -> TransferDecoder:
    """Return a decoder for the value of Content-Transfer-Encoding."""
    match (encoding or "").strip().lower():
        case "base64":
            return _Base64()
        case "quoted-printable":
            return _QuotedPrintable()
    return _Identity()


def decode_transfer(data: bytes, encoding: str | None, *, cut: bool = False) -> bytes:
    """Decode a whole body, or the beginning of one: then what only the next octets would make clear is left out."""
    decoder = transfer_decoder(encoding)
    decoded = decoder.feed(data)
    return decoded if cut else decoded + decoder.finish()
