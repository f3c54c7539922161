"""Which layers of a model file are quantized, and what that was measured to give and to cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paretune.runners.formats import FORMATS
from paretune.runners.store.artifact_store import ArtifactStore

_TOLD = 12
"""Layers that the report lists, those first that cost most for their gain: a screenful. Chosen by
judgement.
"""


class Layers:
    """What model files say of their layers; each file is read once.

    Args:
        store: Holds the files.
    """

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store
        self._known: dict[str, dict[str, Any]] = {}

    def of(self, digest: str) -> dict[str, Any]:
        """Return an artifact's ``left`` layers, by name, and the ``bargains``, ready for JSON.

        ``bargains`` has the first layers of the file's placement: what quantizing each gains, in
        ``unit``, by how much the outputs change if it alone is rounded, and the decision.
        ``quantized`` and ``ranked`` count all of its layers. Empty if the file left the store, or
        its format does not say.
        """
        if digest not in self._known:
            self._known[digest] = self._read(digest)
        return self._known[digest]

    def _read(self, digest: str) -> dict[str, Any]:
        path, artifact = self._store.get(digest), self._store.artifact(digest)
        if path is None or artifact is None:
            return {}
        said = FORMATS.get(artifact.format).says_of(path)
        ranked: list[Mapping[str, Any]] = said.get("placement", [])
        unit = "ms" if ranked and "gain_ms" in ranked[0] else "weights"
        return {
            "left": said.get("fp32_layers", []),
            "unit": unit,
            "ranked": len(ranked),
            "quantized": sum(bool(each["is_quantized"]) for each in ranked),
            "bargains": [
                {
                    "layer": each["layer"],
                    "gain": f"{each[f'gain_{unit}']:.4g}",
                    "error": f"{each['error']:.1e}",
                    "is_quantized": each["is_quantized"],
                }
                for each in ranked[:_TOLD]
            ],
        }
