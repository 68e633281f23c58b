"""The viewers of benchmarks/live.py, in a process of their own.

Reads one JSON object on its command line: `address`, `path`, `kind` (websocket, stream, dashboard,
or silent: sockets and streams that never read), `count`, `cookie`, `token`, `churn_s` (a viewer
leaves after at most so long and comes back where it was; 0: it stays). Says "ready" when every
viewer has had its first message, measures until its input ends, and prints one line of JSON.
"""

import asyncio
import json
import math
import random
import resource
import sys
import time
from array import array
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import orjson
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

CONNECT_AT_ONCE = 50
SMALL_BUFFER_BYTES = 4096
STREAM_LIMIT_BYTES = 1 << 22
COME_BACK_S = 0.2
LAST_LINES_S = 2.0

Moments = list[tuple[int, float]]


@lru_cache(maxsize=256)
def moments_of(text: str) -> tuple[int, Moments, bool]:
    """Return a message's id, step and time of each line in it, and whether the end is.

    Viewers in step get the same text; it is parsed once, so that they take little of the machine.
    """
    message = orjson.loads(text)
    if "runs" in message:  # A run's name is the moment at which it was given that name.
        names = [run["name"] for run in message["runs"] if run["name"].startswith("t=")]
        return message["id"], [(message["id"], float(name[2:])) for name in names], False
    lines = [one for one in message["events"] if one["type"] == "metrics"]
    is_end = any(one["type"] == "end" for one in message["events"])
    return message["id"], [(line["step"], line["t"]) for line in lines], is_end


class Viewers:
    """All viewers of this process, and what they saw."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.address: str = config["address"]
        self.path: str = config["path"]
        self.kind: str = config["kind"]
        self.count: int = config["count"]
        self.churn_s: float = config["churn_s"]
        self.headers = {"Cookie": config["cookie"], "Origin": self.address}
        self.token: str = config["token"]
        self.delays = array("d")
        self.measures_from = self.measures_until = math.inf
        self.faults = 0
        self.visits = 0
        self.n_messages = 0
        self.n_ready = 0
        self.everybody = asyncio.Event()
        self._door = asyncio.Semaphore(CONNECT_AT_ONCE)

    def note_ready(self) -> None:
        self.n_ready += 1
        if self.n_ready == self.count:
            self.everybody.set()

    async def watch(self) -> None:
        """Be one viewer, who comes back whenever the connection ends."""
        cursor, last_step, is_first = 0, -1, True
        while True:
            visit_s = random.uniform(0, self.churn_s) if self.churn_s else None
            messages = self.messages(cursor)
            try:
                async with asyncio.timeout(visit_s):
                    async for text, arrived_at in messages:
                        if is_first:
                            self.note_ready()
                            is_first = False
                        cursor, moments, is_end = moments_of(text)
                        self.n_messages += self.measures_from < arrived_at < self.measures_until
                        last_step = self.note(moments, arrived_at, last_step)
                        if is_end:
                            return
            except (TimeoutError, OSError, ConnectionClosed, InvalidHandshake):
                pass
            finally:
                await messages.aclose()
            self.visits += 1
            await asyncio.sleep(COME_BACK_S)

    def note(self, moments: Moments, arrived_at: float, last_step: int) -> int:
        """Keep how long lines took, and count what is lost or repeated."""
        for step, written_at in moments:
            if self.kind != "dashboard" and step != last_step + 1:
                self.faults += 1
            last_step = step
            if self.measures_from <= written_at < self.measures_until:
                self.delays.append(arrived_at - written_at)
        return last_step

    def messages(self, cursor: int) -> AsyncIterator[tuple[str, float]]:
        return self._streamed(cursor) if self.kind == "stream" else self._sent(cursor)

    async def _sent(self, cursor: int) -> AsyncIterator[tuple[str, float]]:
        address = f"ws{self.address.removeprefix('http')}/ws/{self.path}/?after={cursor}"
        await self._door.acquire()
        try:
            opening = connect(
                address, additional_headers=self.headers, compression=None, ping_interval=None
            )
            socket = await opening
        finally:
            self._door.release()
        try:
            async for text in socket:
                arrived_at = time.time()
                yield text, arrived_at
                await socket.send(f'{{"ack":{moments_of(text)[0]}}}')
        finally:
            # One that vanishes in place of saying goodbye is the server's harder case.
            if self.churn_s and random.random() < 0.3:
                socket.transport.abort()
            with suppress(ConnectionClosed, OSError, TimeoutError):
                await socket.close()

    async def _streamed(self, cursor: int) -> AsyncIterator[tuple[str, float]]:
        async with self._door:
            reader, writer = await self._ask_stream(cursor, STREAM_LIMIT_BYTES)
        try:
            number = 0
            async for line in reader:
                if line.startswith(b"id: "):
                    number = int(line[4:].strip().removesuffix(b"-end"))
                elif line.startswith(b"data: "):
                    yield f'{{"id":{number},{line[7:].decode()}', time.time()
        finally:
            writer.close()

    async def _ask_stream(
        self, cursor: int, limit: int
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        url = urlsplit(self.address)
        reader, writer = await asyncio.open_connection(url.hostname, url.port, limit=limit)
        path = f"/api/v1/{self.path}/stream?after={cursor}"
        writer.write(
            f"GET {path} HTTP/1.0\r\nHost: {url.netloc}\r\n"
            f"Authorization: Bearer {self.token}\r\n\r\n".encode()
        )
        await writer.drain()
        return reader, writer

    async def ignore(self, number: int) -> None:
        """Ask for everything and read nothing: every second one a socket, the others streams."""
        self.note_ready()
        if number % 2:
            address = f"ws{self.address.removeprefix('http')}/ws/{self.path}/"
            opening = connect(
                address,
                additional_headers=self.headers,
                compression=None,
                ping_interval=None,
                max_queue=1,
                close_timeout=0.1,
            )
            async with opening:
                await asyncio.Event().wait()
        _, writer = await self._ask_stream(0, SMALL_BUFFER_BYTES)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.Event().wait()

    def told(self) -> dict[str, Any]:
        """What was measured."""
        delays = sorted(self.delays)
        shares = {"p50_s": 0.5, "p95_s": 0.95, "p99_s": 0.99}
        used = resource.getrusage(resource.RUSAGE_SELF)
        return {
            **{name: _at(delays, share) for name, share in shares.items()},
            "max_s": delays[-1] if delays else None,
            "arrivals": len(delays),
            "faults": self.faults,
            "messages": self.n_messages,
            "visits": self.visits,
            "cpu_s": used.ru_utime + used.ru_stime,
        }


def _at(ordered: list[float], share: float) -> float | None:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None


async def main() -> None:
    viewers = Viewers(json.loads(sys.argv[1]))
    started_at = time.perf_counter()
    if viewers.kind == "silent":
        tasks = [asyncio.create_task(viewers.ignore(number)) for number in range(viewers.count)]
    else:
        tasks = [asyncio.create_task(viewers.watch()) for _ in range(viewers.count)]
    await asyncio.wait(
        [asyncio.create_task(viewers.everybody.wait()), *tasks],
        timeout=120,
        return_when=asyncio.FIRST_COMPLETED,
    )
    for task in tasks:
        if task.done():
            task.result()
    print(json.dumps({"ready_s": time.perf_counter() - started_at}), flush=True)
    # What came while everybody was still coming is not counted.
    await asyncio.to_thread(sys.stdin.readline)
    viewers.measures_from = time.time()
    await asyncio.to_thread(sys.stdin.readline)
    viewers.measures_until = time.time()
    await asyncio.sleep(LAST_LINES_S)
    print(json.dumps(viewers.told()), flush=True)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


if __name__ == "__main__":
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2
    )
    asyncio.run(main())
