"""Templates: Handlebars and Markdown, with bounds on time, memory and output.

What a template can do is bounded by a sandbox, not by trust in who wrote it.
"""

from __future__ import annotations

from gateway.templating.handlebars import TemplateError
from gateway.templating.rendering import Texts, check, render

__all__ = ["TemplateError", "Texts", "check", "render"]
