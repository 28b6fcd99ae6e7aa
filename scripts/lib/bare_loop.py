"""The requests of a migration up to ``checked`` and nothing else: what a migration costs at the least.

usage: python -m scripts.lib.bare_loop COORDINATES.json

Per state, as ``migrate`` sends them: lock the source, lock the target, read the source; then create the object, read it
back, read the source again. No journal, no checks. Same clients, same number of connections.
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import requests
from botocore.config import Config
from requests.adapters import HTTPAdapter

WORKERS = 16


def run(coordinates: dict[str, Any]) -> None:
    """Send every request."""
    session = requests.Session()
    session.mount("http://", HTTPAdapter(pool_maxsize=WORKERS))
    session.headers["PRIVATE-TOKEN"] = coordinates["token"]
    client = boto3.client(
        "s3",
        endpoint_url=coordinates["endpoint"],
        region_name="us-east-1",
        aws_access_key_id=coordinates["access_key"],
        aws_secret_access_key=coordinates["secret_key"],
        config=Config(
            s3={"addressing_style": "path"},
            max_pool_connections=WORKERS,
            retries={"total_max_attempts": 1},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )
    bucket, base = coordinates["bucket"], coordinates["states_url"]

    def lock_and_capture(name: str) -> bytes:
        lock = {"ID": name, "Operation": "x", "Info": "", "Who": "x", "Version": "x", "Created": "", "Path": ""}
        session.post(f"{base}/{name}/lock", json=lock).raise_for_status()
        put(f"bare/{name}.tflock", json.dumps(lock).encode())
        return session.get(f"{base}/{name}").content

    def publish_and_check(name: str, data: bytes) -> None:
        put(f"bare/{name}", data)
        client.get_object(Bucket=bucket, Key=f"bare/{name}")["Body"].read()
        session.get(f"{base}/{name}").raise_for_status()

    def put(key: str, data: bytes) -> None:
        client.put_object(Bucket=bucket, Key=key, Body=data, IfNoneMatch="*", ContentType="application/json")

    names: list[str] = coordinates["names"]
    with ThreadPoolExecutor(WORKERS) as pool:
        documents = list(pool.map(lock_and_capture, names))
        list(pool.map(publish_and_check, names, documents))


if __name__ == "__main__":
    run(json.loads(Path(sys.argv[1]).read_text()))
