"""Run inside a container's network: twenty times a second asks every address given which replica answers there.

All addresses of one tick are asked at the same instant, so a tick is one picture. Prints a line a tick: the names
that answered, separated by blanks, after "tick". Ends when its standard input is closed.
"""

from __future__ import annotations

import asyncio
import sys

PERIOD = 0.05
PATIENCE = 1.0


async def ask(address: str) -> str:
    try:
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection(address, 80)
            writer.write(b"GET / HTTP/1.0\r\n\r\n")
            answer = await reader.read()
            writer.close()
    except (OSError, TimeoutError):
        return ""
    head, _, body = answer.partition(b"\r\n\r\n")
    return body.decode().strip() if b" 200 " in head.split(b"\r\n")[0] else ""


async def tick(addresses: list[str]) -> None:
    names = await asyncio.gather(*(ask(address) for address in addresses))
    print("tick", *sorted(filter(None, names)), flush=True)


async def main(addresses: list[str]) -> None:
    ended = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    ticks = []
    while not ended.done():
        ticks.append(asyncio.create_task(tick(addresses)))
        await asyncio.wait([ended], timeout=PERIOD)
    await asyncio.gather(*ticks)


asyncio.run(main(sys.argv[1:]))
