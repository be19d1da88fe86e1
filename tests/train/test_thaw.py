import pytest
from torch import nn

from pocketvision.train import optim
from pocketvision.train.config import TrainConfig
from pocketvision.train.thaw import depth, depths, lr_scale, thaw_, thawed
from tests.train.sources import bundle

NET = bundle("mobilenet_v3_small", width=0.35).network()
SPEC = NET.spec


def test_depths_follow_the_strides():
    # MobileNetV3-Small halves at the stem and in blocks 0, 1, 3 and 8: five stages.
    assert depths(SPEC) == 6
    names = {
        "heads.label.classifier.weight": 0,
        "heads.label.hidden.0.conv.weight": 1,
        "blocks.8.expand.conv.weight": 1,
        "blocks.7.project.norm.bias": 2,
        "blocks.3.expand.conv.weight": 2,
        "blocks.2.expand.conv.weight": 3,
        "blocks.0.depthwise.conv.weight": 4,
        "stem.conv.weight": 5,
    }
    assert {name: depth(name, SPEC) for name in names} == names


def test_earlier_stages_learn_more_slowly():
    config = TrainConfig(lr=0.1, trunk_lr=0.5, stage_lr=0.1)
    assert lr_scale("heads.label.classifier.bias", SPEC, config) == 1.0
    assert lr_scale("blocks.8.expand.conv.weight", SPEC, config) == 0.5
    assert lr_scale("stem.conv.weight", SPEC, config) == pytest.approx(0.5e-4)
    opt = optim.optimizer(NET, config, share=lambda n: lr_scale(n, SPEC, config))
    optim.set_lr(opt, 0.2)
    by_share = {g["share"]: g["lr"] for g in opt.param_groups}
    assert by_share[0.5] == pytest.approx(0.1)
    count = sum(len(g["params"]) for g in opt.param_groups)
    assert count == len(list(NET.parameters()))


def test_gradual_lets_one_stage_after_the_other_go_over_the_first_half():
    config = TrainConfig(freeze="gradual")
    counts = [thawed(step, 100, config, SPEC) for step in range(100)]
    assert [counts.index(n) for n in range(2, 7)] == [0, 10, 20, 30, 40]
    assert counts == sorted(counts)
    assert thawed(0, 1, config, SPEC) == 2
    assert {thawed(s, 9, TrainConfig(freeze="none"), SPEC) for s in range(9)} == {6}


def test_what_is_held_neither_learns_nor_follows_the_batch():
    thaw_(NET, 2, TrainConfig(freeze="gradual"))
    for name, p in NET.named_parameters():
        assert p.requires_grad == (depth(name, SPEC) < 2)
    for name, m in NET.named_modules():
        if isinstance(m, nn.BatchNorm2d):
            assert m.training == (depth(name, SPEC) < 2)
    thaw_(NET, 6, TrainConfig(freeze="none", norms="kept"))
    assert all(p.requires_grad for p in NET.parameters())
    assert not any(m.training for m in NET.modules() if isinstance(m, nn.BatchNorm2d))
    assert NET.heads["label"].dropout.training
    thaw_(NET, 6, TrainConfig(freeze="none"))
    assert all(m.training for m in NET.modules())
