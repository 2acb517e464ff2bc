"""Looks for planted secrets in what processes wrote."""

from __future__ import annotations

import base64
from pathlib import Path
from urllib.parse import quote

#: Shorter values occur by chance.
_SHORTEST = 6


class LogScan:
    """Values that no log may hold: not as they are, not percent-encoded, not in base64."""

    def __init__(self) -> None:
        self._planted: set[str] = set()

    def plant(self, *values: str) -> None:
        """Remember values that clients or servers handed over."""
        for value in values:
            assert len(value) >= _SHORTEST, "too short to be looked for"
            self._planted.add(value)

    def found(self, *files: Path) -> list[str]:
        """Return one line for each planted value that stands in a file."""
        hits = []
        for file in files:
            content = file.read_bytes() if file.exists() else b""
            for value in sorted(self._planted):
                for form in _forms(value):
                    position = content.find(form)
                    if position >= 0:
                        line = content.rfind(b"\n", 0, position) + 1
                        hits.append(f"{file.name}: {value!r} in {content[line : position + 200]!r}")
                        break
        return hits

    def check(self, *files: Path) -> None:
        """Fail when a planted value stands in a file.

        Raises:
            AssertionError: it does.
        """
        hits = self.found(*files)
        assert not hits, "\n".join(hits[:20])


def _forms(value: str) -> set[bytes]:
    encoded = base64.b64encode(value.encode()).rstrip(b"=")
    return {value.encode(), value.lower().encode(), quote(value, safe="").encode(), encoded}
