"""Run the sandbox plugin alone and write down what it says of itself.

usage: python sandbox_process.py DIRECTORY     writes DIRECTORY/info.json once everything listens
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from gateway_sandbox.plugin import MicrosoftSandbox


async def _serve(directory: Path) -> None:
    async with MicrosoftSandbox().running(directory) as info:
        described = {
            "app": dict(MicrosoftSandbox.app),
            "users": list(MicrosoftSandbox.users),
            "control_url": info.control_url,
        }
        unfinished = directory / "info.tmp"
        unfinished.write_text(json.dumps(described))
        unfinished.replace(directory / "info.json")
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
