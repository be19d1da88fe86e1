"""What is learned from teachers: formulas by hand, maps that are compared, the objective."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from pocketvision.bundle import bundle_of
from pocketvision.errors import LabelError, UsageError
from pocketvision.labels import Labels
from pocketvision.model import build, stages
from pocketvision.preprocess import GREY_MEAN, GREY_STD, Preprocess, to_tensor
from pocketvision.train import losses
from pocketvision.train.config import TrainConfig
from pocketvision.train.defaults import with_teachers
from pocketvision.train.distill import (
    Lesson,
    attention_loss,
    hint_loss,
    middle,
    paired,
    regressors,
    soft_loss,
)
from pocketvision.train.job import BESIDE, Batch
from pocketvision.train.source import Source
from pocketvision.train.teacher import teacher_of
from pocketvision.zoo.lookup import resolve
from tests.train.sources import bundle
from tests.weights.files import network

NAMES = ("a", "b", "c")
OWN = Preprocess(size=(32, 32), crop_fraction=1.0)


def noise(*shape, seed=0, scale=1.0):
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def softmax(z):
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


# ---------------------------------------------------------------------------------------- formulas


def test_soft_loss_by_hand():
    """Two classes: q = (3/4, 1/4), p = (1/2, 1/2), so KL = 3/4 log 3/2 + 1/4 log 1/2."""
    teacher = torch.tensor([[2 * math.log(3.0), 0.0]])  # over T = 2: odds of 3 to 1
    value = soft_loss(torch.zeros(1, 2), [teacher], temperature=2.0)
    assert float(value) == pytest.approx(4 * (0.75 * math.log(1.5) + 0.25 * math.log(0.5)))


def test_soft_loss_equals_the_formula_in_float64():
    student, one, two = (noise(7, 5, seed=s, scale=3.0) for s in range(3))
    p = softmax(student.double().numpy() / 4)
    q = (softmax(one.double().numpy() / 4) + softmax(two.double().numpy() / 4)) / 2
    wanted = 16 * (q * (np.log(q) - np.log(p))).sum(1).mean()
    value = soft_loss(student, [one, two], temperature=4.0)
    assert float(value) == pytest.approx(wanted, rel=1e-5)


def test_the_gradient_of_soft_loss_is_that_of_the_paper():
    """Equation 2: dC/dz = (p - q) / T an image, here times T^2 / n. Equal logits: none."""
    student, teacher = noise(4, 3).requires_grad_(), noise(4, 3, seed=1)
    soft_loss(student, [teacher], temperature=5.0).backward()
    p, q = (softmax(z.detach().double().numpy() / 5) for z in (student, teacher))
    np.testing.assert_allclose(student.grad.numpy(), 5 / 4 * (p - q), atol=1e-6)
    same = teacher.clone().requires_grad_()
    soft_loss(same, [teacher], temperature=5.0).backward()
    assert float(same.grad.abs().max()) < 1e-6


def test_two_equal_teachers_are_one():
    student, teacher = noise(6, 4), noise(6, 4, seed=1)
    one = soft_loss(student, [teacher], temperature=4.0)
    assert torch.equal(one, soft_loss(student, [teacher, teacher], temperature=4.0))


def test_attention_by_hand():
    """Q_S = (9, 16, 0, 0) / sqrt(337) and Q_T = (0, 1, 0, 0) over four places."""
    student = torch.tensor([[[[3.0, 0.0], [0.0, 0.0]], [[0.0, -4.0], [0.0, 0.0]]]])
    teacher = torch.tensor([[[[0.0, 7.0], [0.0, 0.0]]]])
    r = math.sqrt(337)
    wanted = ((9 / r) ** 2 + (16 / r - 1) ** 2) / 4
    assert float(attention_loss(student, teacher)) == pytest.approx(wanted, rel=1e-6)


def test_attention_in_float64_with_maps_of_two_sizes():
    student, teacher = noise(3, 5, 6, 4), noise(3, 2, 3, 8, seed=1)
    q_s = (student.double().numpy() ** 2).sum(1)
    q_t = (teacher.double().numpy() ** 2).sum(1)
    q_s = q_s.reshape(3, 3, 2, 4).mean(2).reshape(3, -1)  # 6 x 4 to 3 x 4
    q_t = q_t.reshape(3, 3, 4, 2).mean(3).reshape(3, -1)  # 3 x 8 to 3 x 4
    q_s, q_t = (q / np.sqrt((q**2).sum(1, keepdims=True)) for q in (q_s, q_t))
    wanted = ((q_s - q_t) ** 2).mean()
    assert float(attention_loss(student, teacher)) == pytest.approx(wanted, rel=1e-5)
    assert float(attention_loss(student, 3 * student)) < 1e-12  # only the direction counts


def test_hint_by_hand():
    guess = torch.tensor([[[[1.0, 3.0], [5.0, 7.0]]]])
    assert float(hint_loss(guess, torch.full((1, 1, 1, 1), 2.0))) == pytest.approx((4 - 2) ** 2 / 2)
    assert float(hint_loss(guess, guess - 2)) == pytest.approx(2.0)


# ------------------------------------------------------------------------------------------ stages

FAMILIES = (
    "mobilenet_v1", "mobilenet_v2", "mobilenet_v3_small", "mobilenext", "rexnet", "mixnet_s",
    "ghostnet", "hbonet", "squeezenet_1_1", "shufflenet_v2", "xception", "nasnet_mobile",
    "darts_v2", "resnet18", "efficientnet_b0",
)  # fmt: skip


@pytest.mark.parametrize("name", FAMILIES)
def test_one_pass_gives_logits_and_stages(name):
    net = build(resolve(name, resolution=64, classes=3)).eval()
    x = noise(1, 3, 64, 64)
    with torch.no_grad():
        logits, maps = net.staged(x)
        assert torch.equal(logits, net(x))
        apart = net.features(x, [s.name for s in net.stages])
    for stage, found in zip(net.stages, maps, strict=True):
        assert torch.equal(found, apart[stage.name])
        assert found.shape[1] == stage.channels


def test_stages_are_paired_by_stride():
    student, teacher = (resolve(n, resolution=64) for n in ("mobilenet_v3_small", "resnet18"))
    pairs = paired(student, teacher)
    rows = [(stages(student)[i].stride, stages(teacher)[j].stride) for i, j in pairs]
    assert [a for a, _ in rows] == [b for _, b in rows]
    assert [a for a, _ in rows][-3:] == [8, 16, 32]
    assert middle(((0, 0), (1, 2), (2, 3))) == (1, 2)


def test_regressors_lead_to_the_teachers_map():
    teacher = made(bundle("mobilenet_v2", width=0.35, labels=NAMES, classes=3))
    spec = resolve("mobilenet_v3_small", width=0.35, resolution=32)
    i, j = middle(paired(spec, teacher.network.spec))
    (layer,) = regressors(spec, [teacher], seed=3)
    assert layer.weight.shape == (
        teacher.network.stages[j].channels,
        stages(spec)[i].channels,
        1,
        1,
    )
    (again,), (other,) = (regressors(spec, [teacher], seed=s) for s in (3, 4))
    assert torch.equal(layer.weight, again.weight)
    assert not torch.equal(layer.weight, other.weight)


# ---------------------------------------------------------------------------------------- teachers


def made(b, *, contract=OWN, classes=NAMES, **options):
    return teacher_of(Source(bundle=b, record={"name": "t"}), classes, contract, **options)


def test_a_teacher_sees_the_same_pixels_by_its_own_contract():
    """Through the run's numbers and back, or straight from the pixels: the same inputs."""
    other = replace(OWN, mean=(0.5, 0.4, 0.3), std=(0.2, 0.5, 1.0))
    teacher = made(bundle(classes=3, labels=NAMES, width=0.35, contract=other))
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    x = torch.from_numpy(to_tensor(pixels, OWN))
    np.testing.assert_allclose(teacher.inputs(x), to_tensor(pixels, other), atol=2e-6)
    same = made(bundle(classes=3, labels=NAMES, width=0.35, contract=OWN))
    assert torch.equal(same.inputs(x), x)


def test_a_teacher_may_have_a_size_of_its_own():
    b = bundle(classes=3, labels=NAMES, width=0.35, contract=OWN)
    x = noise(2, 3, 48, 64)
    assert made(b).inputs(x).shape[2:] == (48, 64)
    assert made(b, own_size=True).inputs(x).shape[2:] == (32, 32)
    assert made(b).digest != made(b, own_size=True).digest


def test_answers_come_in_the_order_of_the_run():
    b = bundle(classes=4, labels=("z", "c", "a", "b"), width=0.35, contract=OWN)
    x = noise(5, 3, 32, 32)
    with torch.no_grad():
        whole = b.network()(x)
    torch.testing.assert_close(made(b).answer(x), whole[:, [2, 3, 1]])
    torch.testing.assert_close(made(b).staged(x)[0], whole[:, [2, 3, 1]])


def test_a_permuted_teacher_gives_the_same_loss():
    """The same network with the rows of its last layer and its names in another order."""
    b = bundle(classes=3, labels=NAMES, width=0.35, contract=OWN)
    turn = [2, 0, 1]
    weights = {k: v[turn] if ".classifier." in k else v for k, v in b.weights.items()}
    labels = {"label": Labels(names=tuple(NAMES[i] for i in turn))}
    turned = replace(b, weights=weights, labels=labels)
    net = network("mobilenet_v3_small", width=0.35, resolution=32, classes=3)
    batch = Batch(x=noise(4, 3, 32, 32), truth=torch.tensor([0, 1, 2, 0]), indices=np.arange(4))
    values = [lesson(made(t), distill="kd")(net, batch).item() for t in (b, turned)]
    assert values[0] == pytest.approx(values[1], rel=1e-6)


def test_teachers_that_do_not_fit():
    b = bundle(classes=3, labels=("a", "b", "x"), width=0.35)
    with pytest.raises(
        LabelError, match=r"does not know 'c' \(it knows 3 classes\); train it .*--from"
    ):
        made(b)
    many = tuple(f"k{i}" for i in range(9))
    with pytest.raises(LabelError, match=r"does not know 'k0', .* and 4 more"):
        made(b, classes=many)
    fine = bundle(classes=3, labels=NAMES, width=0.35)
    grey = replace(OWN, channels=1, mean=GREY_MEAN, std=GREY_STD)
    with pytest.raises(UsageError, match="takes colour images, this run grey ones; give --in-chan"):
        made(fine, contract=grey)
    trunk = replace(fine, spec=replace(fine.spec, heads=()), labels={})
    with pytest.raises(UsageError, match="has none: it is a trunk"):
        made(trunk)
    hidden = replace(fine, labels={"label": Labels(names=NAMES, background=1)})
    with pytest.raises(LabelError, match="does not know 'b'"):
        made(hidden)


# --------------------------------------------------------------------------------------- objective


def lesson(*teachers, known=None, **settings):
    config = with_teachers(TrainConfig(**settings), len(teachers))
    return Lesson(config=config, hard=losses.hard(config), teachers=teachers, known=known)


def a_batch(n=4):
    return Batch(x=noise(n, 3, 32, 32), truth=torch.arange(n) % 3, indices=np.arange(n))


@pytest.fixture(scope="module")
def pair():
    """A student in eval mode, so that each pass answers alike, and a teacher."""
    net = network("mobilenet_v3_small", width=0.35, resolution=32, classes=3)
    return net, made(bundle("mobilenet_v2", classes=3, labels=NAMES, width=0.35, contract=OWN))


def test_kd_is_a_weighted_sum(pair):
    student, teacher = pair
    batch = a_batch()
    hard = losses.plain(TrainConfig())(student, batch)
    soft = soft_loss(student(batch.x), [teacher.answer(batch.x)], temperature=3.0)
    value = lesson(teacher, temperature=3.0, distill_weight=0.25)(student, batch)
    assert value.item() == pytest.approx(0.75 * hard.item() + 0.25 * soft.item(), rel=1e-5)


def test_at_adds_up_over_stages_and_kd_beside_it(pair):
    student, teacher = pair
    batch = a_batch()
    _, own = student.staged(batch.x)
    _, seen = teacher.staged(batch.x)
    pairs = paired(student.spec, teacher.network.spec)
    assert len(pairs) == 5
    looked = sum(attention_loss(own[i], seen[j]).item() for i, j in pairs)
    hard = losses.plain(TrainConfig())(student, batch).item()
    soft = lesson(teacher)(student, batch).item()
    at = lesson(teacher, distill="at", at_weight=50.0)(student, batch).item()
    both = lesson(teacher, distill="kd+at", at_weight=50.0)(student, batch).item()
    assert at == pytest.approx(hard + 50 * looked, rel=1e-5)
    assert both == pytest.approx(soft + 50 * looked, rel=1e-5)


def test_hints_reach_the_layers_below_and_the_regressor(pair):
    student, teacher = pair
    student = network("mobilenet_v3_small", width=0.35, resolution=32, classes=3)
    student.add_module(BESIDE, regressors(student.spec, [teacher], seed=0))
    lesson(teacher, distill="hint")(student, a_batch()).backward()
    for name in ("stem.conv.weight", "beside.0.weight"):
        assert float(dict(student.named_parameters())[name].grad.abs().sum()) > 0


@pytest.mark.parametrize("distill", ["kd", "at", "kd+at"])
def test_two_equal_teachers_teach_like_one(pair, distill):
    student, teacher = pair
    one, two = (lesson(*[teacher] * n, distill=distill)(student, a_batch()).item() for n in (1, 2))
    assert one == pytest.approx(two, rel=1e-6)


def test_kept_answers_serve_by_index(pair):
    student, teacher = pair
    batch = replace(a_batch(), indices=np.array([5, 0, 3, 2]))
    kept = np.zeros((2, 6, 3), np.float32)
    batch = replace(batch, view=3)  # the second of two views
    kept[1, batch.indices] = teacher.answer(batch.x).numpy()
    assert torch.equal(
        lesson(teacher)(student, batch), lesson(teacher, known=[kept])(student, batch)
    )


# ------------------------------------------------------------------------------------ what is said


def test_defaults_are_filled_in_for_what_is_asked():
    config = with_teachers(TrainConfig(), 1)
    assert (config.distill, config.temperature, config.distill_weight) == ("kd", 4.0, 0.9)
    assert (config.at_weight, config.hint_weight, config.teacher_views) == (None, None, "same")
    both = with_teachers(TrainConfig(distill="kd+at", temperature=2.0), 2)
    assert (both.temperature, both.at_weight) == (2.0, 1000.0)
    assert with_teachers(TrainConfig(), 0) == TrainConfig()
    assert with_teachers(both, 1) == both


def test_what_cannot_be_said_of_teachers():
    wrong = {
        "--temperature 2.0 needs a network to learn from: add --teacher": (0, {"temperature": 2.0}),
        "--distill kd needs a network": (0, {"distill": "kd"}),
        "--at-weight 5.0 has no part in --distill kd": (1, {"at_weight": 5.0}),
        "--temperature 2.0 has no part in --distill at": (1, {"temperature": 2.0, "distill": "at"}),
        "--freeze trunk fits the last layer to labels alone": (1, {"freeze": "trunk"}),
        "--teacher-views 1 keeps .* needs its maps": (1, {"teacher_views": "1", "distill": "at"}),
        "--mixup shows mixed ones": (1, {"teacher_views": "1", "mixup": 0.2}),
    }
    for words, (count, settings) in wrong.items():
        with pytest.raises(UsageError, match=words):
            with_teachers(TrainConfig(**settings), count)
    with pytest.raises(UsageError, match=r"--distill must be kd or at or .*did you mean 'kd'"):
        TrainConfig(distill="kdd")


def test_a_bundle_takes_no_regressor(pair):
    student = network("mobilenet_v3_small", width=0.35, resolution=32, classes=3)
    student.add_module(BESIDE, regressors(student.spec, [pair[1]], seed=0))
    from pocketvision.train.state import bare

    held = bundle_of(bare(student), OWN, {"label": Labels(names=NAMES)}, manifest={})
    assert not any(BESIDE in name for name in held.weights)
