"""Replicas of a deployment: workers that share its queue.

The first keeps the name of the deployment, the further ones are numbered: ``story``, ``story-2``, ``story-3``. Each is
a deployment of its own everywhere (load state, verdict, plan, metrics), so nothing that counts deployments grows by
more than what is configured. Jobs are for ``story``, whichever replica runs them.
"""

MAX_REPLICAS = 64


def replica_names(name: str, replicas: int) -> tuple[str, ...]:
    """Names of the replicas of ``name``, the first one first."""
    return (name, *(f"{name}-{number}" for number in range(2, replicas + 1)))
