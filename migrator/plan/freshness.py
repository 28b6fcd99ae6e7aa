"""PURE: does the repository still look as it did when the plan was made?

States are not compared here: ``capture`` compares them under the lock, where the answer stays true.
"""

from collections.abc import Callable, Iterable

from migrator.errors import StalePlanError
from migrator.plan.model import Plan


def check_repository(plan: Plan, identity: str | None) -> None:
    """Check that the plan was made for this repository. One that was made where nobody knew which (a shallow clone) is
    compared by its files alone.

    Raises: StalePlanError.
    """
    if plan.repository.identity not in (identity, None):
        raise StalePlanError(
            "the plan was made for another repository",
            where=f"first commit here {identity or 'none'}, in the plan {plan.repository.identity or 'none'}",
            now="nothing was touched",
        )


def check_files(
    plan: Plan,
    digest_at: Callable[[str], str | None],
    *,
    allowed_post: Iterable[str] = (),
    hint: str = "undo the edit, or run migrator plan and review the new plan",
) -> None:
    """Check that every file to cut over is the one that the plan read; ``digest_at`` gives None for a missing file.

    Files in ``allowed_post`` may have been cut over already (a resumed run). ``hint`` says what helps.

    Raises: StalePlanError that names the first file that differs and how many do.
    """
    post = set(allowed_post)
    changed = [
        file.path
        for file in plan.files
        if (found := digest_at(file.path)) != file.pre_sha256 and not (file.path in post and found == file.post_sha256)
    ]
    if changed:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise StalePlanError(
            f"{changed[0]}{more} changed after the plan was made",
            where=changed[0],
            now="this command changed nothing",
            hint=hint,
        )
