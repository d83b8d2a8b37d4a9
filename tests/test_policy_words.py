"""A policy as a person reads it: each operation with its physical amount and its share of the images, and one line."""

import re
from html.parser import HTMLParser

import pytest
import torch

from autoaug.policy import (
    AnyNode,
    Fixed,
    Relaxed,
    SpatialTransformer,
    Warp,
    apply,
    choice,
    in_words,
    op_masses,
    policy_table,
    policy_tree,
    ready,
    schedule,
    sequence,
    show_amount,
)

POLICIES = {
    "randaugment": ready.randaugment(n=3, m=0.5),
    "trivialaugment": ready.trivialaugment(),
    "autoaugment": ready.autoaugment_cifar10(),
    "random": ready.random_policy(),
    "nested": policy_tree(sequence([choice([(1.0, sequence([apply("rotate"), apply("color")]))]), apply("invert")])),
}

AMOUNTS = {
    "±15°": apply("rotate", 0.5),
    "up to ±30°": apply("rotate", (0.0, 1.0)),
    "±3 to ±15°": apply("rotate", (0.1, 0.5)),
    "+15°": apply("rotate", 0.5, mirror=False),
    "-15 to +30°": apply("rotate", (-0.5, 1.0), mirror=False),
    "±22 % of the width": apply("translate_x", 0.5),
    "±45 %": apply("color", 0.5),
    "±0.15 tangent": apply("shear_x", 0.5),
    "up to 4 bits removed": apply("posterize", (0.0, 1.0)),
    "50 % of the range": apply("solarize", 0.5),
    "±67°": apply("rotate", 1.0, most=67.4),
    "": apply("invert"),
}


@pytest.mark.parametrize("said", AMOUNTS)
def test_an_amount_has_its_unit_and_its_sign(said: str) -> None:
    node = policy_tree(AMOUNTS[said]).root
    assert node.kind == "apply"
    assert show_amount(node) == said


@pytest.mark.parametrize("name", POLICIES)
def test_the_shares_of_a_table_add_up_to_what_images_meet(name: str) -> None:
    """The exact answer is that of `op_masses`; a table rounds each share, and joins equal stages."""
    tree = POLICIES[name]
    found: dict[str, float] = dict.fromkeys(op_masses(tree), 0.0)
    slack: dict[str, float] = dict.fromkeys(found, 1e-9)
    for stage, op, _, _, share in policy_table(tree).cells:
        joined = re.match(r"(\d+) to (\d+)", stage)
        stages = int(joined[2]) - int(joined[1]) + 1 if joined else 1
        if op != "nothing":
            found[op] += stages * float(share.removesuffix(" %").replace("<", "")) / 100
            slack[op] += stages * 0.0055
    for op, mass in op_masses(tree).items():
        assert abs(found[op] - mass) <= slack[op]


def test_the_most_frequent_operation_of_a_stage_comes_first() -> None:
    node = choice([(1.0, apply("invert")), (3.0, apply("rotate", 0.5)), (2.0, sequence())])
    assert [cells[1:] for cells in policy_table(policy_tree(node)).cells] == [
        ["rotate", "±15°", "100 %", "50 %"],
        ["nothing", "–", "–", "33 %"],
        ["invert", "–", "100 %", "17 %"],
    ]


def test_stages_are_numbered_as_images_meet_them() -> None:
    assert [cells[0] for cells in policy_table(POLICIES["nested"]).cells] == [
        "1, sub-policy 1, 1",
        "1, sub-policy 1, 2",
        "2",
    ]
    assert policy_table(POLICIES["autoaugment"]).cells[2][0] == "sub-policy 2, 1"
    assert {cells[0] for cells in policy_table(POLICIES["randaugment"]).cells} == {"1 to 3"}


ROTATE, COLOR, INVERT = apply("rotate", 0.5), apply("color", 0.5), apply("invert")

WORDS: dict[str, AnyNode] = {
    "images stay as they are": choice([(1.0, sequence()), (0.0, ROTATE)]),
    "every image: rotate (±15°), invert": sequence([ROTATE, INVERT]),
    "one of 2 operations per image, all alike, each at a strength of its own": choice(
        [(1, ROTATE), (1, apply("color"))]
    ),
    "one of 3 operations per image: 60 % rotate (±15°), 30 % color (±45 %), 10 % invert": choice(
        [(1, INVERT), (6, ROTATE), (3, COLOR)]
    ),
    "up to one of 1 operation per image: 100 % rotate (±15°)": apply("rotate", 0.5, 0.5),
    "hflip of 50 %, then up to two of 2 operations per image, all alike, at 50 % of their strength": sequence(
        [apply("hflip", probability=0.5), *[choice([(1, ROTATE), (1, COLOR), (1, sequence())])] * 2]
    ),
    "two of 2 operations per image: 75 % rotate (±15 to ±30°), 25 % invert": sequence(
        [choice([(1, ROTATE), (1, INVERT)]), apply("rotate", 1.0)]
    ),
}


@pytest.mark.parametrize("said", WORDS)
def test_what_a_policy_does_is_one_line(said: str) -> None:
    assert in_words(policy_tree(WORDS[said])) == said


@pytest.mark.parametrize("most", [80, 120, 200])
@pytest.mark.parametrize("name", POLICIES)
def test_a_line_keeps_within_its_room(name: str, most: int) -> None:
    line = in_words(POLICIES[name], most)
    assert 10 < len(line) <= most


def test_what_has_no_room_is_counted() -> None:
    ops = ("rotate", "color", "invert", "shear_x", "equalize")
    node = choice([(weight, apply(op, 0.5)) for weight, op in enumerate(ops, start=1)])
    line = in_words(policy_tree(node), 80)
    assert line == "one of 5 operations per image: 33 % equalize and 4 more"


def test_of_a_schedule_the_last_is_told_unless_an_epoch_is_asked_for() -> None:
    tree = policy_tree(schedule([(1, ROTATE), (5, sequence())]))
    assert in_words(tree) == "images stay as they are"
    assert in_words(tree, epoch=4) == "every image: rotate (±15°)"
    assert policy_table(tree, epoch=1).cells == [["1", "rotate", "±15°", "100 %", "100 %"]]


class Tags(HTMLParser):
    """The tags of a page, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_notebook_shows_a_policy_and_nothing_of_it_is_markup() -> None:
    evil = "<script>alert(1)</script>"
    tree = policy_tree(ROTATE, provenance={"study": evil, "strategy": "ra", "sentence": evil})
    page = Tags(tree._repr_html_())
    assert page.tags == {"p", "strong", "table", "thead", "tbody", "tr", "th", "td"}
    assert f"policy (ra in {evil}): every image: rotate (±15°)" in page.text
    assert Fixed(tree)._repr_html_() == tree._repr_html_()


@pytest.mark.parametrize("policy", [Relaxed(stages=1), Warp(), SpatialTransformer()], ids=["relaxed", "warp", "stn"])
def test_a_notebook_shows_a_policy_that_is_learned_as_it_is_now(policy: Relaxed | Warp | SpatialTransformer) -> None:
    rng = torch.Generator().manual_seed(0)
    policy(torch.rand(4, 3, 8, 8, generator=rng), rng)
    assert in_words(policy.tree()) in Tags(policy._repr_html_()).text
