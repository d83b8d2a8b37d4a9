"""policy.json: exact round trips, and every way in which a file can be wrong."""

import copy
import json
import os

import jsonschema
import pytest

from autoaug.policy import (
    PolicyError,
    apply,
    choice,
    decode,
    encode,
    json_schema,
    load_policy,
    load_tree,
    policy_tree,
    ready,
    save,
    schedule,
    sequence,
)

READY = [
    "none",
    "standard",
    "randaugment",
    "trivialaugment",
    "uniformaugment",
    "random_policy",
    "autoaugment_cifar10",
    "autoaugment_svhn",
    "autoaugment_imagenet",
]
AWKWARD = policy_tree(
    schedule(
        [
            (1, apply("rotate", 0.1 + 0.2, 1 / 3, mirror=False, most=2**0.5 * 10)),
            (7, choice([(1e-300, sequence()), (1 / 7, apply("hue", (-1.0, 5e-324), mirror=False))])),
        ]
    ),
    ranges="faster",
    provenance={"study": 'naïve \U0001f600 "quoted"', "seed": 2**70, "loss": 1e-17, "torch": "2.15"},
)
TREES = {name: getattr(ready, name)() for name in READY} | {"awkward": AWKWARD}


@pytest.mark.parametrize("name", TREES)
def test_a_tree_comes_back_exactly(name, tmp_path):
    path = tmp_path / "policy.json"
    save(TREES[name], path)
    assert load_tree(path) == TREES[name]
    assert encode(load_tree(path)) == path.read_text()
    types = {key: type(value) for key, value in TREES[name].provenance.items()}
    assert {key: type(value) for key, value in load_tree(path).provenance.items()} == types


@pytest.mark.parametrize("name", TREES)
def test_the_schema_accepts_what_is_written(name):
    jsonschema.Draft202012Validator(json_schema()).validate(json.loads(encode(TREES[name])))


def test_the_schema_refuses_what_the_loader_refuses():
    jsonschema.Draft202012Validator.check_schema(json_schema())
    checker = jsonschema.Draft202012Validator(json_schema())
    for change in ({"op": "rotat"}, {"probability": 2}, {"strenght": 1}, {"most": 0}):
        assert not checker.is_valid(with_action(**change))
    assert not checker.is_valid({"root": {"kind": "apply", "op": "rotate"}})
    assert not checker.is_valid(with_action() | {"schema": "autoaug.policy/2"})


def test_a_file_written_by_hand_needs_little(tmp_path):
    path = tmp_path / "policy.json"
    path.write_text('{"schema": "autoaug.policy/1", "root": {"kind": "apply", "op": "rotate", "strength": 1}}')
    assert load_tree(path) == policy_tree(apply("rotate"))


def test_the_file_says_physical_amounts():
    action = json.loads(encode(policy_tree(apply("rotate", (0.0, 0.5)))))["root"]
    assert (action["amount"], action["unit"]) == ([0.0, 15.0], "degrees")
    assert not {"amount", "unit", "most"} & json.loads(encode(policy_tree(apply("invert"))))["root"].keys()


def test_an_interrupted_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "policy.json"
    save(ready.none(), path)

    def crash(*_):
        raise OSError("power cut")

    monkeypatch.setattr(os, "replace", crash)
    with pytest.raises(OSError, match="power cut"):
        save(ready.trivialaugment(), path)
    assert load_tree(path) == ready.none()
    assert list(tmp_path.iterdir()) == [path]


def test_what_could_not_be_read_back_is_not_written(tmp_path):
    nodes = choice([(1, sequence([apply("rotate", 1 / 3)] * 9))] * 990)
    with pytest.raises(PolicyError, match="bytes, more than 1000000: use fewer nodes"):
        save(policy_tree(nodes), tmp_path / "policy.json")
    assert not list(tmp_path.iterdir())


def with_action(**changes):
    """A policy of one operation, as plain data."""
    action = {"kind": "apply", "op": "rotate", "strength": 0.5, "probability": 0.5} | changes
    nodes = [{"kind": "choice", "options": [{"weight": 1, "node": action}]}]
    return {"schema": "autoaug.policy/1", "root": {"kind": "sequence", "nodes": nodes}}


def with_weights(*weights):
    data = with_action()
    option = data["root"]["nodes"][0]["options"][0]
    data["root"]["nodes"][0]["options"] = [copy.deepcopy(option) | {"weight": weight} for weight in weights]
    return data


AT = r"p\.json at root\.nodes\[0\]\.options\[0\]\.node"
DATA = {
    "unknown op": (with_action(op="rotat"), AT + r"\.op: unknown op 'rotat': did you mean 'rotate'"),
    "op is a number": (with_action(op=3), AT + r"\.op: .*string, got 3"),
    "op is a long text": (with_action(op="x" * 900_000), AT + r"\.op: .* at most 100 characters"),
    "op is no text": (with_action(op="\ud800"), AT + r"\.op: "),
    "nan strength": (with_action(strength=float("nan")), AT + r"\.strength: nan is neither"),
    "infinite strength": (with_action(strength=float("inf")), AT + r"\.strength: inf is neither"),
    "strength is a huge number": (with_action(strength=10**400), AT + r"\.strength: 1000.* is neither"),
    "strength is text": (with_action(strength="0.5"), AT + r"\.strength: '0.5' is neither"),
    "strength is three numbers": (with_action(strength=[0, 1, 2]), AT + r"\.strength: \[0, 1, 2\] is neither"),
    "strength out of range": (with_action(strength=1.01), AT + r": strength 1.01 of rotate is outside \[0, 1\]"),
    "negative strength": (with_action(strength=-0.1), AT + r": strength -0.1 of rotate .* mirror=False"),
    "probability above 1": (with_action(probability=1.5), AT + r"\.probability: .* equal to 1, got 1.5"),
    "probability nan": (with_action(probability=float("nan")), AT + r"\.probability: .* finite number, got nan"),
    "probability is huge": (with_action(probability=10**400), AT + r"\.probability: "),
    "probability is text": (with_action(probability="1"), AT + r"\.probability: .* number, got '1'"),
    "mirror is a number": (with_action(mirror=1), AT + r"\.mirror: .* boolean, got 1"),
    "misspelt field": (with_action(strenght=1), AT + r"\.strenght: this field is unknown; remove it"),
    "misspelt kind": (with_action(kind="aply"), AT + r": .*'aply'.* 'apply', 'sequence', 'choice'"),
    "kind on two lines": (with_action(kind="a\nb" * 500), AT + r": "),
    "amount disagrees": (with_action(amount=20.0), AT + r"\.amount: 20.0 disagrees with strength 0.5, .* 15.0 degrees"),
    "amount is a range": (with_action(amount=[15, 15]), AT + r"\.amount: \(15.0, 15.0\) disagrees"),
    "unit disagrees": (with_action(unit="pixels"), AT + r"\.unit: 'pixels' is not the unit of rotate: write 'degrees'"),
    "amount of an op without": (with_action(op="invert", amount=1.0), AT + r"\.amount: 1.0 disagrees"),
    "negative weight": (with_weights(1, -0.5), r"options\[1\]\.weight: .* greater than or equal to 0, got -0.5"),
    "nan weight": (with_weights(float("nan")), r"options\[0\]\.weight: .* finite number"),
    "weights that sum to zero": (with_weights(0, 0), r"at root\.nodes\[0\]\.options: the weights sum to 0.0: make"),
    "no options": (with_weights(), r"at root\.nodes\[0\]\.options: this list is empty"),
    "unknown version": (with_action() | {"schema": "autoaug.policy/2"}, r"at schema: 'autoaug.policy/2' is not .*/1'"),
    "version is a list": (with_action() | {"schema": ["autoaug.policy/1"]}, r"at schema: \['autoaug"),
    "no version": ({"root": {"kind": "sequence", "nodes": []}}, "at schema: None is not"),
    "unknown ranges": (with_action() | {"ranges": "wid"}, "at ranges: unknown ranges 'wid': did you mean 'wide'"),
    "unknown field": (with_action() | {"rot": 1}, "at rot: this field is unknown"),
    "no root": ({"schema": "autoaug.policy/1"}, "at root: this field is missing; add it"),
    "root without kind": ({"schema": "autoaug.policy/1", "root": {}}, 'at root: a node needs a "kind", one of apply'),
    "root is a number": ({"schema": "autoaug.policy/1", "root": 3}, "at root: .* got 3"),
    "nodes is an object": ({"schema": "autoaug.policy/1", "root": {"kind": "sequence", "nodes": {}}}, r"root\.nodes: "),
    "provenance is a list": (with_action() | {"provenance": []}, "at provenance: .* got \\[\\]"),
    "provenance of objects": (with_action() | {"provenance": {"a": {}}}, r"at provenance\.a: {} is neither"),
    "a list": ([], r"\[\] is not an object"),
    "a number": (3, "3 is not an object"),
}
TEXT = {
    "empty": (b"", "not a JSON file"),
    "half a file": (encode(ready.trivialaugment()).encode()[:500], "not a JSON file"),
    "not JSON": (b"rotate 30\n", "not a JSON file: Expecting value"),
    "pickle": (b"\x80\x04\x95\x1a\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix", "not a JSON file: .*codec"),
    "UTF-16": ("{}".encode("utf-16"), "not a JSON file"),
    "ten megabytes": (b'{"schema": "autoaug.policy/1", "x": "' + b"x" * 10_000_000 + b'"}', "more than 1000000 bytes"),
    "ten megabytes of lists": (b"[" * 10_000_000, "more than 1000000 bytes"),
    "deep lists": (b"[" * 100_000, "more than 70 brackets within brackets: flatten"),
    "deep lists, closed": (b"[" * 100_000 + b"]" * 100_000, "more than 70 brackets"),
    "deep objects": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "more than 70 brackets"),
    "deep after a text of brackets": (b'["]]]]\\"]]]]",' + b"[" * 100_000, "more than 70 brackets"),
    "a number of many digits": (b'{"schema": "autoaug.policy/1", "root": ' + b"9" * 5_000 + b"}", "not a JSON file"),
    "too many levels of nodes": (
        b'{"schema": "autoaug.policy/1", "root": ' + b'{"kind": "sequence", "nodes": [' * 25 + b"]}" * 25 + b"}",
        r"root\.nodes\[0\].*more than 20 levels of nodes",
    ),
}
BROKEN = {name: (json.dumps(data).encode(), message) for name, (data, message) in DATA.items()} | TEXT


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_refused_in_one_line(name, tmp_path):
    content, message = BROKEN[name]
    path = tmp_path / "p.json"
    path.write_bytes(content)
    with pytest.raises(PolicyError, match=message) as caught:
        load_policy(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_the_sound_part_of_the_broken_files_loads():
    assert decode(json.dumps(with_action()).encode()).root.nodes[0].options[0].node.amount == 15.0
    assert decode(json.dumps(with_action(amount=15, unit="degrees")).encode()) == decode(
        json.dumps(with_action()).encode()
    )


def test_brackets_inside_text_are_no_nesting():
    data = with_action() | {"provenance": {"note": "[" * 500 + '"' + "{" * 400}}
    assert decode(json.dumps(data).encode()).provenance["note"].startswith("[[[")


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_policy(tmp_path / "absent.json")
