"""A webhook receiver, a process of its own: ``python -m tests.bench.receiver PORT``. GET /taken tells what came."""

from __future__ import annotations

import asyncio
import json
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.error import URLError

from aiohttp import web

from tests.rigs.ports import reserve_port
from tests.rigs.processes import ServerProcess, rig_directory


class Receiver:
    """What the benchmark knows of the process."""

    def __init__(self, port: int) -> None:
        """Take the port that the process listens at."""
        self.url = f"http://127.0.0.1:{port}/hook"
        self._taken = f"http://127.0.0.1:{port}/taken"

    def taken(self) -> list[float]:
        """Return when the requests since the last call came, as `time.time` tells it."""
        with urllib.request.urlopen(self._taken, timeout=10) as answer:
            found: list[float] = json.load(answer)
        return found

    def wait(self, count: int, seconds: float) -> list[float]:
        """Return when so many requests came.

        Raises:
            TimeoutError: they did not come in time.
        """
        found: list[float] = []
        end = time.monotonic() + seconds
        while len(found) < count:
            if time.monotonic() > end:
                raise TimeoutError(f"{len(found)} of {count} webhooks came")
            time.sleep(0.02)
            found += self.taken()
        return found

    def answers(self) -> bool:
        """Tell whether it is up."""
        try:
            return self.taken() == []
        except URLError:
            return False


@contextmanager
def running_receiver() -> Iterator[Receiver]:
    """Start the process."""
    port = reserve_port()
    receiver = Receiver(port)
    with rig_directory("bench-receiver") as directory:
        command = [sys.executable, "-m", "tests.bench.receiver", str(port)]
        process = ServerProcess(command, directory / "receiver.log")
        process.start(receiver.answers)
        try:
            yield receiver
        finally:
            process.stop()


async def _serve(port: int) -> None:
    taken: list[float] = []

    async def answer(request: web.BaseRequest) -> web.Response:
        if request.method == "GET":
            found = list(taken)
            taken.clear()
            return web.json_response(found)
        await request.read()
        taken.append(time.time())
        return web.Response(status=204)

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
