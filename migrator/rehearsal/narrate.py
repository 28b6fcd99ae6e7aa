"""The story in text: a checklist for ``rehearse``, chapters for ``demo``, the same summary for both.

Lines are at most ``WIDTH`` wide. Colours are the console's business: without a terminal, or with NO_COLOR, there are none.
"""

import re
import sys
import textwrap
from dataclasses import dataclass, field

from rich.text import Text

from migrator.rehearsal.model import Outcome, Proof, Rehearsal, Transcript
from migrator.rehearsal.words import WORDS, Words
from migrator.report.output import Output

WIDTH = 100
_MARKS = {Outcome.MADE: ("✓", "green"), Outcome.LEFT_OUT: ("–", "yellow"), Outcome.FAILED: ("✗", "bold red")}
_INDENT = "    "


@dataclass(slots=True)
class Checklist:
    """One line for each proof, printed when the proof ends; of a failed command, the end of its output."""

    output: Output
    _last: Transcript | None = None

    def begin(self, name: str) -> None:
        """Nothing is printed before a scene ends."""
        self._last = None

    def show(self, transcript: Transcript) -> None:
        """Keep the transcript for the case of a failure."""
        self._last = transcript

    def end(self, proof: Proof) -> None:
        """Print the proof."""
        self.output.say(*build_proof_lines(proof))
        if proof.outcome is Outcome.FAILED and self._last is not None:
            self.output.say(*build_transcript_lines(self._last, Words(title="", lines=30), from_end=True))


@dataclass(slots=True)
class Chapters:
    """Headings, commands with their real output, and what they mean. ``pause`` waits for Enter between chapters."""

    output: Output
    pause: bool = False
    _words: Words = field(default_factory=lambda: Words(title=""))
    _number: int = 0

    def begin(self, name: str) -> None:
        """Print the heading of a chapter, if one begins here."""
        self._words = WORDS[name]
        if self._words.heading is None:
            return
        if self.pause and self._number:
            wait_for_enter()
        self._number += 1
        self.output.say(Text(), build_rule(f"{self._number}. {self._words.heading}"))
        self.output.say(*(Text(line) for line in textwrap.wrap(self._words.opening, WIDTH)), Text())

    def show(self, transcript: Transcript) -> None:
        """Print the command and its output."""
        self.output.say(*build_transcript_lines(transcript, self._words), Text())

    def end(self, proof: Proof) -> None:
        """Print the proof, and what it means when it was made."""
        self.output.say(*build_proof_lines(proof))
        if proof.outcome is Outcome.MADE and self._words.meaning:
            lines = textwrap.wrap(self._words.meaning, WIDTH - 2)
            self.output.say(*(Text(f"  {line}", style="italic") for line in lines))


def build_rule(heading: str) -> Text:
    """Return a heading that fills the width."""
    text = Text(f"── {heading} ", style="bold cyan")
    text.append("─" * (WIDTH - len(text)), style="cyan")
    return text


def build_proof_lines(proof: Proof) -> list[Text]:
    """Return mark, title and seconds on one line, and the detail below it."""
    mark, style = _MARKS[proof.outcome]
    title = WORDS[proof.name].title if proof.name in WORDS else proof.name
    seconds = f"{proof.seconds:.1f} s" if proof.outcome is not Outcome.LEFT_OUT else "left out"
    line = Text.assemble((mark, style), " ", (title, "bold"))
    line.append(seconds.rjust(WIDTH - len(line)), style="dim")
    lines = [line, *(Text(f"  {part}") for part in textwrap.wrap(proof.detail, WIDTH - 2))]
    if proof.hint:
        lines += [Text(f"  {part}") for part in textwrap.wrap(f"next: {proof.hint}", WIDTH - 2)]
    return lines


def build_transcript_lines(transcript: Transcript, words: Words, *, from_end: bool = False) -> list[Text]:
    """Return ``$ command`` and its output, indented; what is left out is counted."""
    lines = [line.rstrip().strip("│╷╵ ") if words.keep else line.rstrip() for line in transcript.output.splitlines()]
    lines = _without_outer_blanks(lines)
    chosen = [line for line in lines if re.search(words.keep, line)] if words.keep else lines
    room = words.lines if words.keep is None else max(words.lines, 1)
    if len(chosen) > room:
        chosen = chosen[-room:] if from_end else _shorten(chosen, room)
    left_out = sum(bool(line) for line in lines) - sum(bool(line) for line in chosen)
    shown = [Text(_INDENT + _clip(line)) for line in chosen]
    if left_out > 0:
        note = Text(f"{_INDENT}… {left_out} more line{'' if left_out == 1 else 's'}", style="dim")
        shown = [note, *shown] if from_end else [*shown, note]
    typed = textwrap.wrap(transcript.typed, WIDTH - 8, break_long_words=False, break_on_hyphens=False)
    command = Text(f"{_INDENT}$ ", style="dim").append(" \\\n        ".join(typed), style="bold")
    return [command, *shown]


def build_summary(rehearsal: Rehearsal) -> list[Text]:
    """Return what was shown, what was not, and the verdict."""
    failed, left_out = rehearsal.with_outcome(Outcome.FAILED), rehearsal.with_outcome(Outcome.LEFT_OUT)
    made = len(rehearsal.with_outcome(Outcome.MADE))
    counts = f"{made} proofs made, {len(left_out)} left out, {len(failed)} failed, in {rehearsal.seconds:.1f} s"
    lines = [Text(), Text("─" * WIDTH, style="cyan"), Text(counts, style="bold")]
    lines.append(Text(f"states: {rehearsal.states}, {rehearsal.states_from}; tofu: {rehearsal.tofu or 'took no part'}"))
    for reason in dict.fromkeys(proof.detail for proof in left_out):
        lines += _hang("left out: ", reason)
    for proof in failed:
        lines += _hang("failed: ", f"{proof.name}: {proof.detail}")
    if rehearsal.kept:
        lines += _hang("kept: ", f"{rehearsal.kept} holds state documents, which may hold secrets; remove it after use")
    verdict = (
        Text("Something did not come back or could not be shown: do not migrate yet.", style="bold red")
        if failed
        else Text("Everything came back, byte for byte. Nothing outside of one private directory was touched.", "bold green")
    )
    return [*lines, verdict]


def wait_for_enter() -> None:
    """Wait for Enter; at the end of the input, go on."""
    sys.stderr.write("[Enter] ")
    sys.stderr.flush()
    sys.stdin.readline()


def _hang(label: str, text: str) -> list[Text]:
    wrapped = textwrap.wrap(label + text, WIDTH, subsequent_indent="  ", break_long_words=False)
    return [Text(line) for line in wrapped]


def _without_outer_blanks(lines: list[str]) -> list[str]:
    """Drop blank lines at both ends, and repeated ones between."""
    kept = [line for number, line in enumerate(lines) if line or (number and lines[number - 1])]
    while kept and not kept[0]:
        kept.pop(0)
    while kept and not kept[-1]:
        kept.pop()
    return kept


def _shorten(lines: list[str], room: int) -> list[str]:
    """Keep the beginning and the end: results stand last."""
    tail = room // 3
    return [*lines[: room - tail], "…", *lines[len(lines) - tail :]]


def _clip(line: str) -> str:
    limit = WIDTH - len(_INDENT)
    return line if len(line) <= limit else line[: limit - 1] + "…"
