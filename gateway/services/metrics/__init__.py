"""What this installation is doing, in figures for Prometheus.

- `service`: `MetricsService` puts the figures together, of all processes, whichever of them is asked
- `durations`: `Durations`, what a worker counts in its own memory
- `exposition`: the text format
"""

from __future__ import annotations

from gateway.services.metrics.durations import Durations
from gateway.services.metrics.exposition import CONTENT_TYPE
from gateway.services.metrics.service import MetricsService

__all__ = ["CONTENT_TYPE", "Durations", "MetricsService"]
