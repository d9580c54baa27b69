"""How a claim and what the numbers say of it are written."""

from __future__ import annotations

from dataclasses import dataclass

from effects import Verdict
from records import Study

LABELS = {
    "spa": "SPA",
    "spa-beta-0": "SPA, beta 0",
    "spa-perceptual": "SPA, perceptual term",
    "spa-perceptual-softmax": "SPA, perceptual term, softmax",
    "spa-paper": "SPA, the paper's loss",
    "spa-long": "SPA, 4 x as long",
    "vae": "VAE",
    "vae-long": "VAE, 4 x as long",
    "gmvae": "GMVAE",
    "gmvae-long": "GMVAE, 4 x as long",
    "dae": "denoising U-Net",
    "control-mean": "mean brain",
    "control-black": "black",
}
"""Arms that the answers name."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A claim and what the numbers say of it.

    Attributes:
        claim: in one sentence.
        verdict: computed.
        numbers: the ones that decide, in a phrase.
        rule: how it was decided.
        evidence: Markdown, one block each.
    """

    claim: str
    verdict: str
    numbers: str
    rule: str
    evidence: tuple[str, ...]

    @property
    def line(self) -> str:
        """The answer in a line."""
        return f"{self.claim}: **{self.verdict}**. {self.numbers}".strip()

    def markdown(self, level: int) -> str:
        """Write the answer under a heading."""
        blocks = (
            f"{'#' * level} {self.claim}: {self.verdict}",
            *([self.numbers] if self.numbers else []),
            f"_Decided so:_ {self.rule}",
            *self.evidence,
        )
        return "\n\n".join(blocks)


def outcome(found: Verdict) -> str:
    """What a verdict says of a lead."""
    words = {Verdict.YES: "confirmed", Verdict.NO: "overturned"}
    return words.get(found, found.value)


def by_kind(written: list[str], study: Study) -> str:
    """Write a number for the real and one for the simulated patients."""
    kinds = [kind.title.split(" ", 1)[1].split(" ")[0] for kind in study.kinds]
    return ", ".join(f"{one} ({kind})" for one, kind in zip(written, kinds, strict=True))
