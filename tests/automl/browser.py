"""A headless Chromium, by the DevTools protocol through a pipe (``--remote-debugging-pipe``): needs no library."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from fcntl import F_DUPFD, fcntl
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium")
WIDTHS = 480, 1280
SECONDS = 60  # a machine that does other things too compiles WebAssembly for many seconds
FAULTS = Path(__file__).with_name("faults.js").read_text(encoding="utf-8")


class Browser:
    """One page of it. ``errors``: what its console said was wrong since the last ``open``."""

    def __init__(self, profile: Path) -> None:
        ours, theirs = os.pipe(), os.pipe()
        fds = [fcntl(fd, F_DUPFD, 20) for fd in (ours[0], theirs[1])]  # above the two that Chromium looks at
        for fd in (ours[0], theirs[1]):
            os.close(fd)
        switches = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"]
        command = ["bash", "-c", f'exec "$@" 3<&{fds[0]} 4>&{fds[1]}', "-", str(CHROMIUM), *switches]
        more = [f"--user-data-dir={profile}", "about:blank"]
        quiet = subprocess.DEVNULL
        self.process = subprocess.Popen([*command, *more], pass_fds=fds, stdout=quiet, stderr=quiet)
        for fd in fds:
            os.close(fd)
        self._out, self._in, self._rest, self._number, self._session = ours[1], theirs[0], b"", 0, ""
        self.errors: list[str] = []
        target = self.do("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.do("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "DOM"):
            self.do(f"{domain}.enable")

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(SECONDS)
        os.close(self._out)
        os.close(self._in)

    def do(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol and wait for its answer."""
        self._number += 1
        call = {"id": self._number, "method": method, "params": params}
        call |= {"sessionId": self._session} if self._session else {}
        os.write(self._out, json.dumps(call).encode() + b"\0")
        while (told := self._next()).get("id") != self._number:
            pass
        assert "error" not in told, f"{method}: {told['error']}"
        return told["result"]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            assert select.select([self._in], [], [], SECONDS)[0], "Chromium does not answer"
            read = os.read(self._in, 2**20)
            assert read, "Chromium has ended"
            self._rest += read
        message, _, self._rest = self._rest.partition(b"\0")
        told = json.loads(message)
        params = told.get("params", {})
        if told.get("method") == "Runtime.exceptionThrown":
            self.errors.append(params["exceptionDetails"].get("exception", {}).get("description", str(params)))
        elif told.get("method") == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.errors.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
        elif told.get("method") == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert"):
            self.errors.append(str(params["args"]))
        return told

    def look(self, width: int = 1280, height: int = 900, scheme: str = "light") -> None:
        """Width and height in CSS pixels; ``scheme``: light or dark."""
        self.do("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.do("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def open(self, url: str, ready: str) -> None:
        """Go to a page and wait until ``ready`` holds there."""
        self.errors.clear()
        self.do("Page.navigate", url=url)
        self.wait(f"location.href.split('?')[0] === {json.dumps(url.partition('?')[0])} && ({ready})")

    def run(self, script: str) -> Any:
        """The value of an expression in the page; a promise is waited for."""
        told = self.do("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def wait(self, script: str, seconds: float = SECONDS) -> Any:
        """Until an expression is true."""
        until = time.monotonic() + seconds
        tried = f"(() => {{ try {{ const v = {script}; return v instanceof Node || v }} catch {{ return null }} }})()"
        while not (value := self.run(tried)):
            assert time.monotonic() < until, (
                f"never true: {script}; the page says: {self.run('document.body.innerText')}"
            )
            time.sleep(0.02)
        return value

    def text(self, selector: str) -> str:
        return self.run(f"document.querySelector({json.dumps(selector)}).innerText")

    def click(self, selector: str) -> None:
        self.run(f"document.querySelector({json.dumps(selector)}).click()")

    def set(self, selector: str, value: str) -> None:
        """A control's value, told to its page as if a user had changed it."""
        self.run(
            f"""(() => {{
                const control = document.querySelector({json.dumps(selector)});
                control.value = {json.dumps(value)};
                for (const type of ["input", "change"]) control.dispatchEvent(new Event(type, {{ bubbles: true }}));
            }})()"""
        )

    def choose(self, selector: str, *files: Path) -> None:
        """Give files to an input of the page."""
        found = self.do("Runtime.evaluate", expression=f"document.querySelector({json.dumps(selector)})")
        self.do("DOM.setFileInputFiles", files=[str(f) for f in files], objectId=found["result"]["objectId"])

    def key(self, key: str) -> None:
        """Press a key such as Tab, or Enter."""
        code = {"Tab": 9, "Enter": 13, "Escape": 27}[key]
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.do("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **text)

    def write(self, text: str) -> None:
        """Type into what has the focus."""
        self.do("Input.insertText", text=text)

    def no_faults(self) -> None:
        """At both widths, light and dark: contrast, labels, nothing beyond the edge; see faults.js."""
        for width in WIDTHS:
            for scheme in ("light", "dark"):
                self.look(width, scheme=scheme)
                time.sleep(0.05)  # charts are drawn when they know their width
                assert self.run(FAULTS) == [], f"at {width} pixels, {scheme}"

    def picture(self, path: Path) -> None:
        """The whole page as png."""
        size = self.do("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        path.write_bytes(
            base64.b64decode(self.do("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)["data"])
        )
