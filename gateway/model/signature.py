"""Signatures that are kept at the mail service."""

from __future__ import annotations

from gateway.model.base import Resource


class SignatureInfo(Resource, frozen=True, kw_only=True):
    """A signature kept at the provider."""

    address: str
    signature: str


class SignatureList(Resource, omit_defaults=False, frozen=True, kw_only=True):
    """The signatures; none and `signatures_supported` false where the provider keeps none."""

    signatures: tuple[SignatureInfo, ...]
    signatures_supported: bool
