"""Run-time facts: what differs from run to run and travels in an event's headers, never in its body."""

from __future__ import annotations

from engine.bundle import Bundle
from engine.plan import ExecutionPlan, batch_operator


def run_facts(planned: ExecutionPlan) -> dict[str, str]:
    """Name the pipeline and the models that make the events, each with the digest of what it does.

    Raises:
        BundleError: a model cannot be read.
    """
    facts = {"pipeline": f"{planned.pipeline.name}@{planned.pipeline.digest}"}
    paths = {getattr(batch_operator(segment), "model", None) for segment in planned.shared.values()}
    bundles = [Bundle.load(path) for path in sorted(path for path in paths if isinstance(path, str))]
    if bundles:
        facts["model"] = ", ".join(f"{bundle.manifest.name}@{bundle.digest}" for bundle in bundles)
    return facts
