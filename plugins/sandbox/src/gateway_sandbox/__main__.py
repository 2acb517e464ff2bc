"""Run the sandbox alone: ``python -m gateway_sandbox --data-dir DIR``."""

from __future__ import annotations

import argparse
import asyncio
import signal
from pathlib import Path

from gateway_sandbox import clouds, directory
from gateway_sandbox.plugin import MicrosoftSandbox


async def _run(data_dir: Path) -> None:
    stop = asyncio.Event()
    for number in signal.SIGINT, signal.SIGTERM:
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with MicrosoftSandbox().running(data_dir) as info:
        print(f"control   {info.control_url}")
        print(f"clouds    {data_dir / clouds.FILE_NAME} (entry {directory.CLOUD!r})")
        print(f"users     {', '.join(directory.ADDRESSES)}")
        print(f"password  {directory.DAVE.address} / {directory.DAVE.password}", flush=True)
        await stop.wait()


def main() -> None:
    """Parse the command line and serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m gateway_sandbox", description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True, help="where mail, grants and certificates are kept")
    asyncio.run(_run(parser.parse_args().data_dir))


if __name__ == "__main__":
    main()
