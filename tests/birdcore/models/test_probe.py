"""Probes: shapes, their pooling, the teacher's logits, and the folder that holds one."""

from pathlib import Path

import pytest
import torch

from birdcore.models.probe import Probe, ProbeSpec, load_probe, prior_logits, save_probe


def probe_of(**changes: object) -> Probe:
    torch.manual_seed(0)
    spec = {"classes": ("a", "b", "c"), "width": 6, "hidden": 4} | changes
    return Probe(ProbeSpec.model_validate(spec)).eval()


@pytest.mark.parametrize("pool", ["attention", "max", "mean"])
@pytest.mark.parametrize("hidden", [0, 4])
def test_windows_make_a_clip_between_the_least_and_the_most_of_them(pool: str, hidden: int) -> None:
    probe = probe_of(pool=pool, hidden=hidden)
    output = probe(torch.randn(2, 6, 5), torch.zeros(2, 3, 5))
    windows = output.framewise_logit.sigmoid()
    assert output.clipwise_logit.shape == (2, 3)
    assert windows.shape == (2, 3, 5)
    assert (output.clipwise <= windows.amax(dim=-1) + 1e-6).all()
    assert (output.clipwise >= windows.amin(dim=-1) - 1e-6).all()
    if pool == "max":
        torch.testing.assert_close(output.clipwise, windows.amax(dim=-1))
    torch.testing.assert_close(output.clipwise_logit.sigmoid(), output.clipwise)


def test_a_window_by_itself_has_its_own_probability_and_the_teachers_logits_are_added() -> None:
    probe, embeddings, prior = probe_of(), torch.randn(7, 6), torch.randn(7, 3)
    alone = probe.probabilities(embeddings, prior)
    together = probe(embeddings.T[None], prior.T[None]).framewise_logit[0].T.sigmoid()
    torch.testing.assert_close(alone, together)
    torch.testing.assert_close(
        probe.with_prior(0.5).probabilities(embeddings, prior).logit(),
        0.5 * alone.logit() + 0.5 * prior,
        atol=1e-4,
        rtol=1e-4,
    )


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_class_that_the_teacher_does_not_know_keeps_its_own_probability(share: float) -> None:
    probe, embeddings, prior = probe_of(), torch.randn(7, 6), torch.randn(7, 3)
    probe.known[1] = False
    prior[:, 1] = 0.0
    alone = probe.probabilities(embeddings, prior)
    both = probe.with_prior(share).probabilities(embeddings, prior)
    torch.testing.assert_close(both[:, 1], alone[:, 1])
    assert not torch.allclose(both[:, 0], alone[:, 0])


@pytest.mark.parametrize("name", ["probe.json", "probe.safetensors"])
def test_a_damaged_probe_is_named(tmp_path: Path, name: str) -> None:
    save_probe(tmp_path, probe_of())
    (tmp_path / name).write_bytes(b"{}")
    with pytest.raises(ValueError, match=name):
        load_probe(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(ValueError, match=name):
        load_probe(tmp_path)


def test_a_probe_comes_back_from_its_folder(tmp_path: Path) -> None:
    probe = probe_of(prior=0.25)
    probe.mean.fill_(0.5)
    probe.scale.fill_(2.0)
    save_probe(tmp_path, probe)
    again, inputs = load_probe(tmp_path), (torch.randn(4, 6), torch.randn(4, 3))
    assert again.spec == probe.spec
    torch.testing.assert_close(again.probabilities(*inputs), probe.probabilities(*inputs))


def test_logits_of_sure_teachers_are_finite() -> None:
    logits = prior_logits(torch.tensor([0.0, 0.5, 1.0]).half())
    assert logits.isfinite().all()
    assert logits[1] == 0
    assert logits[0] == pytest.approx(-float(logits[2]), rel=0.02)
