"""A MinIO of one's own: with chosen credentials, killed and started again on the same port and disk."""

import os
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from tests.support.estate_lab import end_process
from tests.support.programs import SEARCH_PATH, require_program
from tests.support.s3_servers import ACCESS_KEY, SECRET_KEY, S3Server, free_port

START_SECONDS = 60


class MinioProcess:
    """``server`` speaks of the running one; after ``kill`` use ``start`` again."""

    def __init__(self, directory: Path, *, access_key: str = ACCESS_KEY, secret_key: str = SECRET_KEY) -> None:
        directory.mkdir(parents=True)
        self._directory = directory
        self._port = free_port()
        endpoint = f"http://127.0.0.1:{self._port}"
        self.server = S3Server(
            name="minio", endpoint=endpoint, stop=self.stop, access_key=access_key, secret_key=secret_key
        )
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        command = [str(require_program("minio")), "server", str(self._directory / "disk"), "--quiet"]
        console = f"127.0.0.1:{free_port()}"
        credentials = {"MINIO_ROOT_USER": self.server.access_key, "MINIO_ROOT_PASSWORD": self.server.secret_key}
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--address", f"127.0.0.1:{self._port}", "--console-address", console],
                env={"PATH": SEARCH_PATH, "HOME": str(self._directory), "MINIO_BROWSER": "off", **credentials},
                cwd=self._directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._wait_until_ready()

    def kill(self) -> None:
        """SIGKILL: nothing is flushed, nothing is closed."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        if self._process is not None:
            end_process(self._process)

    def _wait_until_ready(self) -> None:
        end = time.monotonic() + START_SECONDS
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        while time.monotonic() < end:
            try:
                with opener.open(f"{self.server.endpoint}/minio/health/ready", timeout=2):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.05)
        raise TimeoutError(f"no MinIO after {START_SECONDS} s, its log is in {self._directory}{os.sep}log")
