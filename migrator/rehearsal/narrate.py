"""The story in text: a checklist for ``rehearse``, chapters for ``demo``, the same summary for both.

Lines are at most ``WIDTH`` wide. Colours are the console's business: without a terminal, or with NO_COLOR, there are none.
"""

import re
import sys
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rich.text import Text

from migrator.rehearsal.model import Outcome, Proof, Rehearsal, Transcript
from migrator.rehearsal.words import WORDS, Words
from migrator.report.output import Output

WIDTH = 100
_MARKS = {Outcome.MADE: ("✓", "green"), Outcome.LEFT_OUT: ("–", "yellow"), Outcome.FAILED: ("✗", "bold red")}
_INDENT = "    "
_MORE = "…"
_LAST_LINES = 30
_NAME_WIDTH = 16


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
        self.output.say(*build_checklist_lines(proof))
        if proof.outcome is Outcome.FAILED and self._last is not None:
            self.output.say(*build_last_lines(self._last, _LAST_LINES))


@dataclass(slots=True)
class Chapters:
    """Headings, commands with their real output, and what they mean. ``pause`` waits for Enter between chapters."""

    output: Output
    pause: bool = False
    _words: Words = field(default_factory=lambda: Words(title=""))
    _number: int = 0
    _after_proof: bool = False

    def begin(self, name: str) -> None:
        """Print the heading of a chapter, if one begins here."""
        self._words = WORDS[name]
        if self._words.heading is None:
            return
        if self.pause and self._number:
            wait_for_enter()
        self._number += 1
        self._after_proof = False
        self.output.say(Text(), build_rule(f"{self._number}. {self._words.heading}"))
        self.output.say(*(Text(line) for line in textwrap.wrap(self._words.opening, WIDTH)), Text())

    def show(self, transcript: Transcript) -> None:
        """Print the command and its output."""
        if self._after_proof:
            self.output.say(Text())
        self.output.say(*build_transcript_lines(transcript, self._words), Text())

    def end(self, proof: Proof) -> None:
        """Print the proof, and what it means when it was made."""
        self._after_proof = True
        self.output.say(*build_proof_lines(proof))
        if proof.outcome is Outcome.MADE and self._words.meaning:
            lines = textwrap.wrap(self._words.meaning, WIDTH - 2)
            self.output.say(*(Text(f"  {line}", style="italic") for line in lines))


def build_rule(heading: str) -> Text:
    """Return a heading that fills the width."""
    text = Text(f"── {heading} ", style="bold cyan")
    text.append("─" * (WIDTH - len(text)), style="cyan")
    return text


def build_checklist_lines(proof: Proof) -> list[Text]:
    """Return mark, name, detail and seconds on one line; a detail too long for it goes on below itself."""
    mark, style = _MARKS[proof.outcome]
    first, *rest = textwrap.wrap(proof.detail, WIDTH - _NAME_WIDTH - 12) or [""]
    line = Text.assemble((mark, style), " ", (proof.name.ljust(_NAME_WIDTH), "bold"), first)
    line.append(_seconds(proof).rjust(WIDTH - len(line)), style="dim")
    indent = " " * (_NAME_WIDTH + 2)
    hint = textwrap.wrap(f"next: {proof.hint}", WIDTH - len(indent)) if proof.hint else []
    return [line, *(Text(indent + part) for part in (*rest, *hint))]


def build_proof_lines(proof: Proof) -> list[Text]:
    """Return mark, title and seconds on one line, and the detail below it."""
    mark, style = _MARKS[proof.outcome]
    title = WORDS[proof.name].title if proof.name in WORDS else proof.name
    line = Text.assemble((mark, style), " ", (title, "bold"))
    line.append(_seconds(proof).rjust(WIDTH - len(line)), style="dim")
    lines = [line, *(Text(f"  {part}") for part in textwrap.wrap(proof.detail, WIDTH - 2))]
    if proof.hint:
        lines += [Text(f"  {part}") for part in textwrap.wrap(f"next: {proof.hint}", WIDTH - 2)]
    return lines


def build_transcript_lines(transcript: Transcript, words: Words) -> list[Text]:
    """Return ``$ command`` and its output, indented; what is left out is counted where it was."""
    lines = [line.rstrip() for line in transcript.output.splitlines()]
    shown = choose_lines(lines, words.keep) if words.keep else shorten_sections(lines, words.rows, words.whole)
    typed = textwrap.wrap(transcript.typed, WIDTH - 10, break_long_words=False, break_on_hyphens=False)
    command = Text(f"{_INDENT}$ ", style="dim").append(f" \\\n{_INDENT}    ".join(typed), style="bold")
    body = (
        Text((_INDENT + _clip(line)).rstrip(), style="dim" if line.lstrip().startswith(_MORE) else "") for line in shown
    )
    return [command, *body]


def build_last_lines(transcript: Transcript, room: int) -> list[Text]:
    """Return ``$ command`` and the end of its output, where errors stand."""
    lines = [line.rstrip() for line in transcript.output.splitlines() if line.strip()]
    shown = lines if len(lines) <= room else [_more(len(lines) - room), *lines[-room:]]
    return [Text(f"{_INDENT}$ {transcript.typed}"), *(Text(_INDENT + _clip(line)) for line in shown)]


def choose_lines(lines: Sequence[str], keep: str) -> list[str]:
    """Return the lines that match ``keep``, without the frame that OpenTofu draws, and how many there are besides."""
    bare = [line.strip("│╷╵ ") for line in lines]
    chosen = [line for line in bare if re.search(keep, line)]
    left_out = sum(map(bool, bare)) - len(chosen)
    return [*chosen, *([_more(left_out)] if left_out else [])]


def shorten_sections(lines: Sequence[str], rows: int, whole: str | None = None) -> list[str]:
    """Return every line at the margin, and of the indented lines below it the first ``rows`` entries.

    An entry is a line and those that are indented deeper than it, so that no folded cell is torn.
    Sections whose first line matches ``whole`` are not shortened.
    """
    shown: list[str] = []
    for section in _split(lines, _begins_section):
        body = section if section[0].startswith(" ") else section[1:]
        entries = _split(body, lambda line, first: _indent(line) <= _indent(first))
        kept = [line for entry in entries[:rows] for line in entry]
        left_out = sum(map(bool, body)) - sum(map(bool, kept))
        if left_out <= 2 or (whole and re.search(whole, section[0])):
            kept, left_out = body, 0
        shown += [*section[: len(section) - len(body)], *kept, *([f"  {_more(left_out)}", ""] if left_out else [])]
    return _without_outer_blanks(shown)


def _begins_section(line: str, _first: str) -> bool:
    return bool(line) and not line.startswith(" ")


def _split(lines: Sequence[str], begins: Callable[[str, str], bool]) -> list[list[str]]:
    """Cut ``lines`` before each line that begins a part; ``begins`` also gets the first line of the part before it."""
    parts: list[list[str]] = []
    for line in lines:
        if parts and (not line or not begins(line, parts[-1][0])):
            parts[-1].append(line)
        else:
            parts.append([line])
    return parts


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _more(number: int) -> str:
    return f"{_MORE} {number} more line{'' if number == 1 else 's'}"


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
        else Text(
            "Everything came back, byte for byte. Nothing outside of one private directory was touched.", "bold green"
        )
    )
    return [*lines, verdict]


def wait_for_enter() -> None:
    """Wait for Enter; at the end of the input, go on."""
    sys.stderr.write("[Enter] ")
    sys.stderr.flush()
    sys.stdin.readline()


def _seconds(proof: Proof) -> str:
    return "left out" if proof.outcome is Outcome.LEFT_OUT else f"{proof.seconds:.1f} s"


def _hang(label: str, text: str) -> list[Text]:
    wrapped = textwrap.wrap(label + text, WIDTH, subsequent_indent="  ", break_long_words=False)
    return [Text(line) for line in wrapped]


def _without_outer_blanks(lines: Sequence[str]) -> list[str]:
    """Drop blank lines at both ends, and all but one between."""
    kept = [line for number, line in enumerate(lines) if line or (number and lines[number - 1])]
    while kept and not kept[0]:
        kept.pop(0)
    while kept and not kept[-1]:
        kept.pop()
    return kept


def _clip(line: str) -> str:
    limit = WIDTH - len(_INDENT)
    return line if len(line) <= limit else line[: limit - 1] + "…"
