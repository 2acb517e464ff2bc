"""Outbound HTTP: one client, whose every connection goes to an address that the egress rules allow."""

from __future__ import annotations

from gateway.http.client import Answer, HttpClient
from gateway.http.egress import refusal

__all__ = ["Answer", "HttpClient", "refusal"]
