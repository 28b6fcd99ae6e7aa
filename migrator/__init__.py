"""Moves the state authority of a repository of OpenTofu stacks from GitLab's HTTP backend to an S3-compatible store.

Reading path: ``docs/glossary.md`` -> ``engine/phases.py`` -> ``engine/step.py`` -> ``engine/steps/publish.py`` ->
``engine/runner.py`` -> ``journal/fold.py`` -> ``rewrite/spans.py``.
"""

__version__ = "0.1.0"
