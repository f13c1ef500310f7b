"""The same with FastAPI on uvicorn: async and sync endpoints, one that fails."""

import asyncio
import sys
import threading

import uvicorn
from fastapi import Depends, FastAPI

from headgate.instrumentation import event, identify, track

app = FastAPI()


@track
async def score(name):
    await asyncio.sleep(0)
    return len(name)


def who():
    identify("from-dependency")


@app.get("/async/{name}")
async def in_loop(name: str):
    event("scored", value=await score(name))
    return {"score": await asyncio.gather(score(name), score(name))}


@app.get("/sync/{name}", dependencies=[Depends(who)])
def in_thread(name: str):
    return {"name": name}


@app.get("/fail")
async def fail():
    raise RuntimeError("as meant")


class Server(uvicorn.Server):
    """Says its port, and stops when its input ends."""

    async def startup(self, sockets=None):
        await super().startup(sockets)
        sys.stdout.write(f"{self.servers[0].sockets[0].getsockname()[1]}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    server = Server(uvicorn.Config(app, port=0, log_level="critical"))
    threading.Thread(
        target=lambda: (sys.stdin.readline(), setattr(server, "should_exit", True)), daemon=True
    ).start()
    server.run()
