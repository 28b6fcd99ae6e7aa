"""The words of the story: for each scene a title, and for the demo a chapter around it. Only text; plain and short."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """``title`` names the proof in a list. ``heading`` begins a chapter, with ``opening`` below it; None goes on with the
    chapter before. ``meaning`` says what was just seen. Of the output, ``rows`` entries of each section are shown
    (all of those sections that match ``whole``), or only the lines that match ``keep``.
    """

    title: str
    heading: str | None = None
    opening: str = ""
    meaning: str = ""
    rows: int = 3
    whole: str | None = None
    keep: str | None = None


_TOFU = r"^Error: |already locked|^(ID|Who|Created): |will be created$|^Plan: |^Apply complete|^No changes"

WORDS = {
    "states": Words(title="states that are left out"),
    "inventory": Words(
        title="find every line that says where state lives",
        heading="What is there",
        opening="The repository keeps the state of its stacks in GitLab. Which files say so?",
        meaning="Nobody had to list these places: they were read from the files, and nothing was written.",
        whole="^Stacks",
    ),
    "plan": Words(
        title="decide, and touch nothing",
        heading="Decide",
        opening="Both servers are read, every file change is worked out, and all of it is written down for review.",
        meaning="A plan is a file to be reviewed. Until it is carried out, nothing has changed anywhere.",
        whole="^States to move",
    ),
    "migrate": Words(
        title="move every state, byte for byte",
        heading="Move",
        opening="GitLab's locks are taken first and kept. Files change only when every state has arrived.",
        meaning="Each document was compared byte for byte, lineage and serial included. GitLab stays sealed.",
        rows=10,
    ),
    "proof-by-plan": Words(title="OpenTofu plans the same on both sides"),
    "references": Words(
        title="no line that can be rewritten names the source any more",
        heading="Check",
        opening="Does any line still lead to GitLab? Do states, seals and files look as they should?",
    ),
    "verify": Words(
        title="both sides are as the run left them",
        meaning="Both commands only read. In CI they hold the line after the migration.",
        rows=5,
    ),
    "stale-checkout": Words(
        title="a stale checkout cannot write",
        heading="Somebody has an old checkout",
        opening="A colleague did not pull. The files there still name GitLab, and the colleague applies a change.",
        meaning="GitLab's own lock refused it: two places can never both be written.",
        keep=_TOFU,
    ),
    "target-lock": Words(title="the target's lock refuses a second writer"),
    "change": Words(
        title="work goes on at the target",
        heading="Work goes on",
        opening="With the rewritten files, the same change is applied. Its state is written to the S3 store.",
        meaning="The state at the target has moved on. Going back must not lose this change.",
        keep=_TOFU,
    ),
    "rollback": Words(
        title="go back, and carry the change home",
        heading="Go back",
        opening="An incident: the team decides to return to GitLab, today.",
        meaning="The newer document went home before anything at the target was removed.",
        rows=10,
    ),
    "files-restored": Words(
        title="every file is what it was",
        heading="Compare with the beginning",
        opening="Is everything as it was, and is the change still there?",
    ),
    "states-restored": Words(title="the source serves the newest states, unlocked"),
    "target-emptied": Words(title="nothing is left at the target"),
    "plan-at-source": Words(
        title="OpenTofu finds the change at the source",
        meaning="The old checkout works again, and finds the change that was made elsewhere.",
        keep=_TOFU,
    ),
}
