"""Measurements of ``scripts/bench``. Every figure is a ratio of two things measured in this run, or a curve over size."""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from migrator.rehearsal.estate import assemble_sample_estate
from scripts.lib.bench_lab import Lab, open_lab

Row = tuple[str, str, str]
_REPEATS = 3


def main() -> None:
    """Run what was asked for and print one table."""
    parser = argparse.ArgumentParser(prog="scripts/bench", add_help=False)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--states", type=int, default=100)
    parser.add_argument("--large", default="1000,5000")
    parser.add_argument("--only", choices=[*_PARTS])
    options = parser.parse_args()
    if options.quick:
        options.states, options.large = 20, ""
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {options.states} states of 8 KiB\n")
    print(f"{'what':<58}{'measured':<28}{'aim'}")
    with tempfile.TemporaryDirectory() as scratch:
        for name, part in _PARTS.items():
            if options.only in (None, name):
                for what, measured, aim in part(Path(scratch) / name, options):
                    print(f"{what:<58}{measured:<28}{aim}", flush=True)


def measure_start(scratch: Path, options: argparse.Namespace) -> list[Row]:
    """Start-up against an empty Python."""
    empty = _best(lambda: _run([sys.executable, "-c", "pass"]), repeats=15)
    rows = []
    for flag in ("--version", "--help"):
        ours = _best(partial(_run, [sys.executable, "-m", "migrator", flag]), repeats=15)
        rows.append((f"migrator {flag} / python -c pass", f"{ours / empty:.2f} x  ({ours * 1000:.0f} ms)", "<= 2.5 x"))
    return rows


def measure_inventory(scratch: Path, options: argparse.Namespace) -> list[Row]:
    """The sample estate, filled up with copies of its own neutral files, against git grep."""
    rows: list[Row] = []
    for count, aim in ((400, "< 0.4 s"), *([] if options.quick else [(20_000, "< 4 s")])):
        estate = scratch / str(count)
        assemble_sample_estate(estate)
        fill_estate(estate, count)
        repeats = 7 if count < 1000 else 3
        command = [sys.executable, "-m", "migrator", "--repo", str(estate), "--json", "inventory"]
        ours = _best(partial(_run, command), repeats=repeats)
        patterns = [argument for word in ("TF_HTTP", "terraform/state", "backend-config") for argument in ("-e", word)]
        grep = _best(partial(_run, ["git", "-C", str(estate), "grep", "-n", *patterns]), repeats=repeats)
        rows += [
            (f"inventory of {count:,} files, whole process", f"{ours:.2f} s", aim),
            ("inventory / git grep of the same patterns", f"{ours / grep:.0f} x", "<= 8 x"),
        ]
    return rows


def fill_estate(estate: Path, count: int) -> None:
    """Add files until there are ``count``: applications, modules and manifests that say nothing about state."""
    tracked = subprocess.run(["git", "-C", str(estate), "ls-files"], capture_output=True, text=True, check=True)
    paths = tracked.stdout.split()
    neutral = [path for path in paths if path.startswith(("app/", "modules/", "k8s/", "tests/", "tex/", "build/"))]
    for number in range(count - len(paths)):
        origin = Path(neutral[number % len(neutral)])
        copy = estate / "vendored" / str(number) / origin
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(estate / origin, copy)
    subprocess.run(["git", "-C", str(estate), "add", "."], check=True)


def measure_migrate(scratch: Path, options: argparse.Namespace) -> list[Row]:
    """Migrate against the built-in migration and against the bare requests, on loopback."""
    return _compare(scratch, options.states, milliseconds=0, aim="15 x")


def measure_latency(scratch: Path, options: argparse.Namespace) -> list[Row]:
    """The same with 20 ms added to every request on both sides."""
    return _compare(scratch, options.states, milliseconds=20, aim="50 x")


def _compare(scratch: Path, count: int, *, milliseconds: int, aim: str) -> list[Row]:
    where = f"+{milliseconds} ms" if milliseconds else "loopback"
    with open_lab(scratch, count, milliseconds=milliseconds) as lab:
        bare = _bare(lab)
        ours = _ours(lab)
        rows = [
            (f"migrate to checked, {where}", f"{ours / count * 1000:.1f} ms per state", ""),
            (f"migrate / bare loop of the same requests, {where}", f"{ours / bare:.2f} x", "<= 1.5 x"),
        ]
        for name in ("TOFU", "TERRAFORM"):
            if os.environ.get(name):
                built_in = _built_in(lab, os.environ[name], name.lower())
                what = f"{name.lower()} init -migrate-state / migrate, {where}"
                rows.append((what, f"{built_in / ours:.0f} x  ({built_in / count * 1000:.0f} ms per state)", aim))
    return rows


def _ours(lab: Lab) -> float:
    lab.migrator("plan")
    times = []
    for _ in range(_REPEATS):
        times.append(_time(lambda: lab.migrator("migrate", "--yes", "--until", "checked")))
        lab.migrator("rollback", "--yes")
    return statistics.median(times)


def measure_durability(scratch: Path, options: argparse.Namespace) -> list[Row]:
    """What the journal's syncs and the mirror cost, each left out in turn; the three are measured in turns."""
    count = options.states
    with open_lab(scratch, count) as lab:
        local = lab.directory / "local.toml"
        settings = (lab.repository / "migrator.toml").read_text()
        local.write_text(settings.replace("[target]\n", '[target]\nrun_prefix = ""\n'))
        plans = {"whole": lab.directory / "whole.json", "local": lab.directory / "local.json"}
        lab.migrator("plan", "-o", str(plans["whole"]))
        lab.migrator("--config", str(local), "plan", "-o", str(plans["local"]))
        times: dict[str, list[float]] = {"whole": [], "unsynced": [], "local": []}
        for _ in range(_REPEATS * 2):
            for name, taken in times.items():
                plan = plans["local" if name == "local" else "whole"]
                taken.append(_time(partial(_migrate, lab, plan, synced=name != "unsynced")))
                lab.migrator("rollback", "--yes")
    whole, unsynced, alone = (statistics.median(times[name]) for name in ("whole", "unsynced", "local"))
    return [
        ("migrate / the same without any sync to disk", f"{whole / unsynced:.2f} x", "<= 1.15 x"),
        ("migrate / the same without the mirror", f"{whole / alone:.2f} x", ""),
    ]


def _migrate(lab: Lab, plan: Path, *, synced: bool) -> None:
    code = "" if synced else "import os; os.fsync = os.fdatasync = lambda descriptor: None\n"
    code += "import runpy; runpy.run_module('migrator', run_name='__main__')"
    command = [sys.executable, "-c", code, "--repo", str(lab.repository), "--quiet", "migrate", str(plan), "--yes"]
    _run([*command, "--until", "checked"], lab=lab)


def _bare(lab: Lab) -> float:
    path = lab.directory / "coordinates.json"
    coordinates = {
        "token": lab.environment["GITLAB_TOKEN"],
        "endpoint": lab.endpoint,
        "access_key": lab.s3.access_key,
        "secret_key": lab.s3.secret_key,
        "bucket": "tofu-state",
        "states_url": lab.states_url,
        "names": lab.names,
    }
    path.write_text(json.dumps(coordinates))
    times = []
    for _ in range(_REPEATS):
        times.append(_time(lambda: _run([sys.executable, "-m", "scripts.lib.bare_loop", str(path)])))
        _clean_up(lab)
    return statistics.median(times)


def _clean_up(lab: Lab) -> None:
    import requests

    client = lab.s3.client()

    def remove(name: str) -> None:
        client.delete_object(Bucket="tofu-state", Key=f"bare/{name}")
        client.delete_object(Bucket="tofu-state", Key=f"bare/{name}.tflock")
        headers = {"PRIVATE-TOKEN": lab.environment["GITLAB_TOKEN"]}
        requests.delete(
            f"{lab.states_url}/{name}/lock", json={"ID": name}, headers=headers, timeout=30
        ).raise_for_status()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(remove, lab.names))


def _built_in(lab: Lab, program: str, label: str) -> float:
    """The built-in migration of every state, one after the other, from stacks that were initialised at the source."""
    stacks = [_initialise(lab, program, label, name) for name in lab.names]
    start = time.perf_counter()
    for stack in stacks:
        _run([program, "init", "-migrate-state", "-force-copy", "-input=false", "-no-color"], stack, lab)
    return time.perf_counter() - start


def _initialise(lab: Lab, program: str, label: str, name: str) -> Path:
    stack = lab.directory / label / name
    stack.mkdir(parents=True)
    address = f"{lab.states_url}/{name}"
    (stack / "main.tf").write_text(
        f'terraform {{\n  backend "http" {{\n    address = "{address}"\n    lock_address = "{address}/lock"\n'
        f'    unlock_address = "{address}/lock"\n    lock_method = "POST"\n    unlock_method = "DELETE"\n  }}\n}}\n'
    )
    _run([program, "init", "-input=false", "-no-color"], stack, lab)
    (stack / "main.tf").write_text(
        f'terraform {{\n  backend "s3" {{\n    bucket = "tofu-state"\n    key = "{label}/{name}"\n    region = "us-east-1"\n'
        f'    endpoints = {{ s3 = "{lab.endpoint}" }}\n    use_path_style = true\n    use_lockfile = true\n'
        "    skip_credentials_validation = true\n    skip_requesting_account_id = true\n"
        "    skip_metadata_api_check = true\n    skip_region_validation = true\n    skip_s3_checksum = true\n  }\n}\n"
    )
    return stack


def measure_large(scratch: Path, options: argparse.Namespace) -> list[Row]:
    """Time and memory over the number of states."""
    rows = []
    for count in [int(number) for number in options.large.split(",") if number]:
        with open_lab(scratch / str(count), count) as lab:
            lab.migrator("plan")
            elapsed, peak = _peak(lab, "migrate", "--yes", "--until", "checked")
            rows.append(
                (f"{count} states to checked", f"{elapsed / count * 1000:.1f} ms per state, {peak} MiB", "linear, flat")
            )
    return rows


def measure_memory(scratch: Path, options: argparse.Namespace) -> list[Row]:
    """The peak for one state of 50 MB, over the peak for one small state."""
    peaks = []
    for label, size in (("small", 8192), ("large", 50_000_000)):
        with open_lab(scratch / label, 1, size=size) as lab:
            lab.migrator("plan")
            peaks.append(_peak(lab, "migrate", "--yes", "--until", "checked")[1])
    used = (peaks[1] - peaks[0]) / (50_000_000 / 1024 / 1024)
    return [("memory for one state of 50 MB, above the program's own", f"{used:.1f} x its size", "<= 4 x")]


def _peak(lab: Lab, *arguments: str) -> tuple[float, int]:
    """Return seconds and peak memory in MiB of one command, measured in a child of its own."""
    code = (
        "import runpy, sys, time; start = time.perf_counter(); sys.argv = sys.argv[1:]\n"
        "try: runpy.run_module('migrator', run_name='__main__')\n"
        "except SystemExit as end: status = end.code\n"
        # Not getrusage: it keeps the peak of the process that forked this one.
        "peak = next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM:'))\n"
        "print(time.perf_counter() - start, int(peak) // 1024, file=sys.stderr)\n"
        "sys.exit(status)"
    )
    command = [sys.executable, "-c", code, "migrator", "--repo", str(lab.repository), "--quiet", *arguments]
    result = subprocess.run(command, env=lab.environment, check=True, capture_output=True, text=True)
    seconds, mebibytes = result.stderr.split()[-2:]
    return float(seconds), int(mebibytes)


def _run(command: Sequence[str], directory: Path | None = None, lab: Lab | None = None) -> None:
    environment = lab.environment if lab else None
    subprocess.run(
        command, cwd=directory, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def _time(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _best(work: Callable[[], None], *, repeats: int) -> float:
    return min(_time(work) for _ in range(repeats))


_PARTS: dict[str, Callable[[Path, argparse.Namespace], list[Row]]] = {
    "start": measure_start,
    "inventory": measure_inventory,
    "migrate": measure_migrate,
    "latency": measure_latency,
    "durability": measure_durability,
    "large": measure_large,
    "memory": measure_memory,
}

if __name__ == "__main__":
    main()
