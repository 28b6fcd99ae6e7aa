"""A rehearsal as JUnit XML: one test case for each proof, a failure where one failed, skipped where one was left out."""

import re
from pathlib import Path
from xml.etree import ElementTree

from migrator.errors import ConfigurationError
from migrator.rehearsal.model import Outcome, Rehearsal

# What XML 1.0 cannot hold, escaped or not.
_FORBIDDEN = re.compile(r"[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def build_junit(rehearsal: Rehearsal) -> bytes:
    """Return the document, UTF-8 with a declaration. Times are in seconds."""
    suites = ElementTree.Element("testsuites", {"name": "migrator rehearse"})
    suite = ElementTree.SubElement(
        suites,
        "testsuite",
        {
            "name": "migrator.rehearsal",
            "tests": str(len(rehearsal.proofs)),
            "failures": str(len(rehearsal.with_outcome(Outcome.FAILED))),
            "errors": "0",
            "skipped": str(len(rehearsal.with_outcome(Outcome.LEFT_OUT))),
            "time": f"{rehearsal.seconds:.3f}",
        },
    )
    for proof in rehearsal.proofs:
        case = ElementTree.SubElement(
            suite,
            "testcase",
            {"classname": "migrator.rehearsal", "name": proof.name, "time": f"{proof.seconds:.3f}"},
        )
        detail = _FORBIDDEN.sub("\ufffd", proof.detail)
        match proof.outcome:
            case Outcome.FAILED:
                failure = ElementTree.SubElement(case, "failure", {"message": detail})
                failure.text = _FORBIDDEN.sub("\ufffd", proof.hint or "")
            case Outcome.LEFT_OUT:
                ElementTree.SubElement(case, "skipped", {"message": detail})
            case Outcome.MADE:
                ElementTree.SubElement(case, "system-out").text = detail
    ElementTree.indent(suites)
    return b'<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(suites, "unicode").encode() + b"\n"


def write_junit(path: Path, rehearsal: Rehearsal) -> None:
    """Write the document.

    Raises: ConfigurationError when it cannot be written.
    """
    try:
        path.write_bytes(build_junit(rehearsal))
    except OSError as error:
        raise ConfigurationError(f"the JUnit file cannot be written: {error.strerror}", where=str(path)) from None
