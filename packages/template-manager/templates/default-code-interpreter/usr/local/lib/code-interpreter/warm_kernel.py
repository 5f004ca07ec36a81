"""The ready command of the code interpreter: the default kernel runs, is warm, and its id is where clients look.

Exits with 0 when that is so. Run again after a failure, it goes on with the kernel that there is.
"""

import asyncio
import json
import os
import pathlib
import site
import time
import urllib.request
import uuid

from tornado.websocket import websocket_connect

SERVER = "127.0.0.1:8888"
KERNEL_ID = pathlib.Path.home() / ".jupyter" / "kernel_id"
PATIENCE_S = 120

# What the first cells of most sandboxes do, so that a sandbox begins with it loaded. It leaves no name behind.
WARM_UP = '''
def _warm_up():
    import sys
    import matplotlib.pyplot as plt
    import numpy as np
    import pandas as pd

    frame = pd.DataFrame({"x": np.arange(8.0), "y": np.random.default_rng().random(8)})
    frame.describe()._repr_html_()
    plt.plot(frame["x"], frame["y"], label="y")
    plt.title("warm")
    plt.legend()
    plt.show()
    try:
        raise ValueError("warm")
    except ValueError:
        get_ipython().InteractiveTB.structured_traceback(*sys.exc_info())

_warm_up()
del _warm_up
'''


def main():
    # Python looks there only if the folder is there when it starts; `pip install` puts packages into it.
    os.makedirs(site.getusersitepackages(), exist_ok=True)
    wait_for_server()
    wanted = {"path": "default", "name": "default", "type": "notebook", "kernel": {"name": "python3"}}
    kernel = post("/api/sessions", wanted)["kernel"]["id"]
    for _ in range(2):
        asyncio.run(asyncio.wait_for(execute(kernel, WARM_UP), PATIENCE_S))
    aside = KERNEL_ID.with_suffix(".new")
    KERNEL_ID.parent.mkdir(parents=True, exist_ok=True)
    aside.write_text(kernel)
    os.replace(aside, KERNEL_ID)


def wait_for_server():
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            with urllib.request.urlopen(f"http://{SERVER}/api", timeout=10):
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def post(path, body):
    request = urllib.request.Request(
        f"http://{SERVER}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:
        return json.load(response)


async def execute(kernel, code):
    """Runs code as a client would, without counting it as a cell; raises when it fails."""
    socket = await websocket_connect(f"ws://{SERVER}/api/kernels/{kernel}/channels")
    message_id = uuid.uuid4().hex
    request = {
        "channel": "shell",
        "header": {
            "msg_id": message_id,
            "msg_type": "execute_request",
            "session": uuid.uuid4().hex,
            "username": "",
            "version": "5.3",
        },
        "parent_header": {},
        "metadata": {},
        "content": {
            "code": code,
            "silent": False,
            "store_history": False,
            "user_expressions": {},
            "allow_stdin": False,
        },
        "buffers": [],
    }
    await socket.write_message(json.dumps(request))
    replied = idle = False
    while not (replied and idle):
        text = await socket.read_message()
        if text is None:
            raise ConnectionError("the server has closed the connection")
        answer = json.loads(text)
        if answer["parent_header"].get("msg_id") != message_id:
            continue
        if answer["msg_type"] == "execute_reply":
            if answer["content"]["status"] != "ok":
                raise RuntimeError("\n".join(answer["content"].get("traceback", ["the warm-up did not run"])))
            replied = True
        elif answer["msg_type"] == "status":
            idle = answer["content"]["execution_state"] == "idle"
    socket.close()


main()
