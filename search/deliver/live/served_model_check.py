"""Which model a service has: its metadata, its answers, and the provider it names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from paretune.search.deliver.live.answers import AnswerCheck, check_answers, metadata_differ
from paretune.search.deliver.live.bundle_requests import BundleRequests
from paretune.search.deliver.live.live_verification import LiveVerification
from paretune.search.deliver.live.service import RefusedRequestError, Service
from paretune.search.deliver.verification import Verdict


def look_at_model(
    found: LiveVerification, service: Service, requests: BundleRequests, manifest: Mapping[str, Any]
) -> LiveVerification:
    """Check that a service is there, has the bundle's model, and gives its answers."""
    service.check_ready()
    try:
        info = service.info()
    except RefusedRequestError as error:
        found, info = found.noted(f"the model's metadata cannot be read: {error}"), None
    if info is not None and (text := metadata_differ(info, requests)):
        return replace(found, verdict=Verdict.OTHER_MODEL, reason=text)
    checks = tuple(check_answers(service, requests, size) for size in requests.sizes)
    found = replace(found, answers=checks, provenance=service.provenance(checks[-1].answer))
    if text := _wrong(checks):
        refused = all(each.refused for each in checks)
        verdict = Verdict.DOES_NOT_RUN if refused else Verdict.DIFFERENT_ANSWERS
        return replace(found, verdict=verdict, reason=text)
    for each in checks:
        if each.refused:
            found = found.noted(f"requests of {each.size} samples are refused: {each.refused}")
        elif each.difference:
            found = found.noted(
                f"in requests of {each.size} samples the answers are others ({each.difference}), "
                f"but not in those of the measured {requests.batch_size}: answers of this model "
                "depend on the batch, as those of dynamic quantization do"
            )
    told = found.provenance
    digest = manifest["model"]["sha256"]
    if told is not None and told.model_sha256 not in (None, digest):
        return replace(
            found,
            verdict=Verdict.OTHER_MODEL,
            reason=f"{told.source} names a model file {str(told.model_sha256)[:12]}…, the bundle's "
            f"is {digest[:12]}…",
        )
    threads = manifest["run"]["session_options"].get("intra_op_num_threads")
    if told is not None and told.threads is not None and threads and told.threads != threads:
        found = found.noted(
            f"the service runs the model with {told.threads} threads; {threads} were measured"
        )
    return found


def _wrong(checks: Sequence[AnswerCheck]) -> str:
    """Return why answers are not the bundle's: what the largest answered request says."""
    answered = [each for each in checks if not each.refused]
    if not answered:
        return checks[0].refused
    largest = answered[-1]
    return largest.difference and f"requests of {largest.size}: {largest.difference}"
