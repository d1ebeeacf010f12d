"""An alert that fires, as the snapshot holds it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Alert:
    """``name`` and ``severity`` as in rules.yml; ``subject`` is a deployment, ``gpu:N``, a poller, a volume or empty.

    ``value`` is what the rule's expression gives; ``since`` when its condition began to hold (Unix seconds).
    ``rule`` is the validation rule where the alert is about one.
    """

    name: str
    severity: str
    subject: str
    summary: str
    value: float
    since: float
    rule: str = ""
