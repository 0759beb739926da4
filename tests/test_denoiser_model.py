from typing import TypeVar

import pytest
import torch
from torch import Tensor, nn

from engine.conditions import CONDITION_CHANNELS, LAYOUT
from engine.geometry import ACCOMPANIMENT_CHANNELS
from engine.schedule import ALPHA_BAR
from engine.styles import STYLES
from training.denoiser.attention import (
    HEAD_CHANNELS,
    LOCAL_WINDOW_FRAMES,
    GlobalAttention,
    LocalAttention,
    SoftAlignmentAttention,
    merge_heads,
    split_heads,
)
from training.denoiser.blocks import AttentionFlowInjection
from training.denoiser.model import Denoiser, DenoiserConfig, load_weights, parameter_count, with_usual_sounds
from training.denoiser.sounds import SOUND_CHANNELS

TINY = DenoiserConfig((32, 32, 32), 1, 16, 1, 32, 16, 8)

Net = TypeVar("Net", bound=nn.Module)


def awake(network: Net) -> Net:
    """Give the layers that begin at zero some weight, as training does."""
    torch.manual_seed(0)
    for parameter in network.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    network.eval().requires_grad_(False)
    return network


def inputs(batch: int, frames: int, seed: int = 1) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, ACCOMPANIMENT_CHANNELS, frames, generator=generator)
    conditions = torch.randn(batch, CONDITION_CHANNELS, frames, generator=generator)
    return [x, torch.full((batch,), 300.0), conditions, torch.zeros(batch, len(STYLES))]


def test_the_factory_denoiser_has_about_15_million_parameters() -> None:
    assert 13e6 < parameter_count(Denoiser(DenoiserConfig())) < 16e6


@pytest.mark.parametrize("frames", [4, 36, 64, 100])
def test_any_multiple_of_four_frames_gives_v_of_that_length(frames: int) -> None:
    v = awake(Denoiser(TINY))(*inputs(2, frames))
    assert v.shape == (2, ACCOMPANIMENT_CHANNELS, frames)
    assert torch.isfinite(v).all()


@pytest.mark.parametrize("group", LAYOUT.groups, ids=lambda group: group.name)
def test_every_condition_changes_v(group) -> None:  # type: ignore[no-untyped-def]
    network = awake(Denoiser(TINY))
    given = inputs(1, 32)
    before = network(*given)
    given[2][:, group.whole] = torch.randn(1, group.channels, 32)
    assert (network(*given) - before).abs().max() > 1e-3


def test_timestep_and_style_change_v() -> None:
    network = awake(Denoiser(TINY))
    given = inputs(1, 32)
    before = network(*given)
    styled = [*given[:3], torch.eye(len(STYLES))[3:4]]
    later = [given[0], torch.full((1,), 700.0), *given[2:]]
    assert (network(*styled) - before).abs().max() > 1e-3
    assert (network(*later) - before).abs().max() > 1e-3


def test_sounds_change_v_and_a_style_that_holds_them_says_the_same() -> None:
    network = awake(Denoiser(TINY))
    given, style = inputs(1, 32), torch.eye(len(STYLES))[3:4]
    sounds = torch.randn(len(STYLES), SOUND_CHANNELS, generator=torch.Generator().manual_seed(2))
    plain = network(*given[:3], style)
    told = network(*given[:3], torch.cat([style, sounds[3:4]], dim=1))
    assert (told - plain).abs().max() > 1e-3
    torch.testing.assert_close(with_usual_sounds(network, sounds)(*given[:3], style), told, rtol=1e-4, atol=1e-5)


def test_weights_without_sounds_are_those_of_a_network_that_does_not_hear_them() -> None:
    weights = awake(Denoiser(TINY)).state_dict()
    del weights["embedding.sounds.weight"]
    network = awake(Denoiser(TINY))
    load_weights(network, weights)
    given, style = inputs(1, 32), torch.eye(len(STYLES))[3:4]
    sounds = torch.ones(1, SOUND_CHANNELS)
    assert torch.equal(network(*given[:3], torch.cat([style, sounds], dim=1)), network(*given[:3], style))
    with pytest.raises(RuntimeError, match="size mismatch"):
        load_weights(Denoiser(DenoiserConfig()), weights)


def test_every_parameter_learns_once_awake() -> None:
    network = awake(Denoiser(TINY)).train().requires_grad_(True)
    given = inputs(2, 64)
    network(*given[:3], torch.ones(2, len(STYLES) + SOUND_CHANNELS)).square().mean().backward()
    idle = [
        name for name, parameter in network.named_parameters() if parameter.grad is None or not parameter.grad.any()
    ]
    assert idle == []


def plain_local_attention(layer: LocalAttention, x: Tensor, source: Tensor) -> Tensor:
    """The sliding window of the paper, one query after another."""
    key, value = (split_heads(part) for part in layer.key_value(source).chunk(2, dim=1))
    query, half = split_heads(layer.query(x)), LOCAL_WINDOW_FRAMES // 2
    context = torch.zeros_like(query)
    frames = x.shape[-1]
    for frame in range(frames):
        reach = range(max(0, frame - half), min(frames, frame + half))
        scores = query[:, :, frame, None] @ key[:, :, reach].transpose(-1, -2) * HEAD_CHANNELS**-0.5
        offsets = [at - frame + half for at in reach]
        weights = (scores + layer.offset_bias[None, :, None, offsets]).softmax(dim=-1)
        context[:, :, frame] = (weights @ value[:, :, reach])[:, :, 0]
    return merge_heads(context)


@pytest.mark.parametrize("frames", [1, 7, 16, 17, 31, 50])
def test_blocked_local_attention_equals_the_sliding_window(frames: int) -> None:
    torch.manual_seed(0)
    layer = LocalAttention(12, 20).requires_grad_(False)
    nn.init.normal_(layer.offset_bias)
    x, source = torch.randn(2, 12, frames), torch.randn(2, 20, frames)
    torch.testing.assert_close(layer(x, source), plain_local_attention(layer, x, source), rtol=1e-5, atol=1e-5)


def test_global_attention_knows_distance_but_not_absolute_position() -> None:
    torch.manual_seed(0)
    layer = GlobalAttention(8, 8).requires_grad_(False)
    x, source = torch.randn(1, 8, 1).expand(1, 8, 40), torch.randn(1, 8, 40)
    periodic = torch.cat((source[..., :20], source[..., :20]), dim=-1)
    assert (layer(x, source)[..., 5] - layer(x, source.flip(-1))[..., 5]).abs().max() > 1e-3
    middle = layer(x, periodic)
    assert (middle[..., 0] - middle[..., 39]).abs().max() > 1e-4


@pytest.mark.parametrize(("alpha_bar", "frame_heard"), [(1.0, False), (0.0, True), (0.5, True)])
def test_only_noisy_input_looks_further_than_the_window(alpha_bar: float, frame_heard: bool) -> None:
    torch.manual_seed(0)
    layer = SoftAlignmentAttention(16, 16, 8).requires_grad_(False)
    layer.source_norm = nn.Identity()  # type: ignore[assignment]
    x, source = torch.randn(1, 16, 64), torch.randn(1, 16, 64)
    changed = source.clone()
    changed[..., 60] += 5.0
    mixed = torch.tensor([alpha_bar])
    difference = (layer(x, source, mixed) - layer(x, changed, mixed))[..., :30].abs().max()
    assert (difference.item() > 1e-6) is frame_heard


def test_the_context_is_the_weighted_sum_of_global_and_local() -> None:
    torch.manual_seed(0)
    layer = SoftAlignmentAttention(16, 16, 8).requires_grad_(False)
    x, source = torch.randn(1, 16, 32), torch.randn(1, 16, 32)
    ends = [layer(x, source, torch.tensor([level])) for level in (0.0, 1.0)]
    torch.testing.assert_close(layer(x, source, torch.tensor([0.3])), 0.7 * ends[0] + 0.3 * ends[1])


def test_the_noise_level_of_the_model_is_the_schedule() -> None:
    network = Denoiser(TINY)
    assert network.alpha_bar.numpy() == pytest.approx(ALPHA_BAR, rel=1e-6)


def test_injection_begins_as_nothing_and_moves_from_flow_to_layer_with_noise() -> None:
    torch.manual_seed(0)
    injection = AttentionFlowInjection(16, 8, 2).requires_grad_(False)
    x, flow = torch.randn(1, 16, 8), torch.randn(1, 8, 4)
    assert torch.equal(injection(x, flow, torch.tensor([0.5])), x)
    nn.init.normal_(injection.out.weight)

    def effect_of_flow(time: float) -> float:
        moved = injection(x, flow + 1.0, torch.tensor([time])) - injection(x, flow, torch.tensor([time]))
        return float(moved.abs().max())

    assert effect_of_flow(0.0) > 5.0 * effect_of_flow(1.0) > 0.0
