"""The transcript in README.md: a real run of the demo, made comparable and short.

Two things happen to what the demo prints, and no third: values that differ from run to run are replaced by a word in
capitals, and of each command's output only the first lines and a short last paragraph stay, with the number of lines that
were left out between them.
"""

from __future__ import annotations

import difflib
import os
import re
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
README = TOP / "README.md"
BEGIN, END = "<!-- transcript: written by scripts/transcript -->", "<!-- end of transcript -->"
SHOWN = 15  # lines of each command's output, the command included
_SUMMARY = 2  # lines of a last paragraph that stays

_VOLATILE = (
    (r"127\.0\.0\.1:\d+", "127.0.0.1:PORT"),
    (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "LOCK-ID"),
    (r"\b\d{8}T\d+Z-[0-9a-f]{8}\b", "RUN"),
    (r"\bPlan [0-9a-f]{12}\b", "Plan DIGEST"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)? \+0000 UTC", "TIME"),
    (r"OpenTofu \d+\.\d+\.\d+\S*", "OpenTofu VERSION"),
    (r", in \d+\.\d s$", ", in N s"),
    (r" {2,}\d+\.\d s$", ""),  # the column of times
)
_LEFT_OUT = re.compile(r"\s*… (\d+) more lines?")
_OUTPUT = "    "
_FOREIGN = f"{_OUTPUT}$ tofu "  # says how long things take when they are slow, so the number of its lines is not fixed


def run_demo() -> str:
    """Return what the demo prints; raises CalledProcessError when it fails."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MIGRATOR_")}
    environment = {**kept, "NO_COLOR": "1", "COLUMNS": "100", "PYTHONPATH": str(TOP)}
    command = [sys.executable, "-m", "migrator", "demo"]
    return subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, timeout=300, check=True).stdout


def build_transcript(printed: str) -> str:
    """Return the comparable and short form of what the demo printed."""
    for pattern, word in _VOLATILE:
        printed = re.sub(pattern, word, printed, flags=re.MULTILINE)
    lines: list[str] = []
    output: list[str] = []
    for line in [*printed.strip().splitlines(), "end"]:
        if line.startswith(f"{_OUTPUT}$ ") or not (line.startswith(_OUTPUT) or (output and not line)):
            lines += _shorten(output)
            output = []
        if line.startswith(_OUTPUT) or output:
            output.append(line.rstrip())
        else:
            lines.append(line.rstrip())
    return "\n".join(lines[:-1])


def _shorten(output: list[str]) -> list[str]:
    """Return the first lines of one command's output, how many more there were, and a short last paragraph."""
    if output and output[0].startswith(_FOREIGN):
        output = [_LEFT_OUT.sub(f"{_OUTPUT}… more lines", line) for line in output]
    while output and not output[-1]:
        output = output[:-1]
    if len(output) <= SHOWN:
        return [*output, ""] if output else []
    blanks = [number for number, line in enumerate(output) if not line]
    # Rather end at a paragraph than within a row, when enough is shown by then.
    end = max((number for number in blanks if SHOWN // 2 <= number <= SHOWN), default=SHOWN)
    last = max(blanks, default=len(output)) + 1
    last = last if last > end and len(output) - last <= _SUMMARY else len(output)
    counted = [_LEFT_OUT.fullmatch(line) for line in output[end:last] if line]
    more = sum(int(found[1]) if found else 1 for found in counted)
    summary = ["", *output[last:]] if output[last:] else []
    return [*output[:end], f"{_OUTPUT}… {more} more lines", *summary, ""]


def read_transcript(text: str) -> str:
    """Return the transcript that stands in the text of README.md."""
    block = text.partition(BEGIN)[2].partition(END)[0].strip()
    return block.removeprefix("```text\n").removesuffix("\n```")


def replace_transcript(text: str, transcript: str) -> str:
    """Return the text of README.md with this transcript."""
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}\n\n```text\n{transcript}\n```\n\n{END}{after}"


def main(arguments: list[str]) -> int:
    """Write or check the transcript; 1 when a check fails, 2 on wrong usage."""
    if arguments not in ([], ["--check"]):
        print("usage: scripts/transcript [--check]", file=sys.stderr)
        return 2
    text = README.read_text()
    found = build_transcript(run_demo())
    if not arguments:
        README.write_text(replace_transcript(text, found))
        return 0
    differences = list(difflib.unified_diff(read_transcript(text).splitlines(), found.splitlines(), "README", "demo"))
    print("\n".join(differences), end="\n" if differences else "")
    return 1 if differences else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
