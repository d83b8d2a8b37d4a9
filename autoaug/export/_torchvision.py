"""A policy as a file of Python that needs torch and torchvision only, and does exactly the same."""

import ast
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from importlib.resources import files

from autoaug.export._code import Brackets, Code, assigned, braces, by_epoch, call, heading, listing, literal, pair
from autoaug.export._export import Export, require_known
from autoaug.ops import RANGES, Op
from autoaug.policy import AnyNode, Apply, Choice, PolicyTree, Sequence, children, op_masses

DOC = """An augmentation policy for torchvision: `Policy()` is a v2 transform.

It needs torchvision 0.21 or newer, and nothing of autoaug. Every image gets a draw of
its own, from a generator that is seeded as the process is: torch.manual_seed repeats a
run, and the workers of a DataLoader differ. Where the policy changes with the epoch,
call at(epoch) before the DataLoader starts its workers.
"""
PARTS = ("_standalone.py", "_standalone_more.py")
"""The modules of this folder that a file is made of; the others stand before the definition of `DATA` in the first."""
DATA = "POLICY"
"""The definition of _standalone.py that the policy replaces."""


def to_torchvision_file(tree: PolicyTree) -> Export:
    """Return the parts of _standalone.py and _standalone_more.py that the policy needs, with the policy in it.

    It is exact: pixels are equal to rounding, and 8-bit images are rounded to the nearest level once, after the last
    operation.
    """
    trees, table = by_epoch(tree), RANGES[tree.ranges]
    labels = label_repeated_choices(trees.values())
    choices = [f"{assigned(label, choice_code(node, table, labels))}\n\n" for node, label in labels.items()]
    policy = braces({str(epoch): node_code(node, table, labels) for epoch, node in trees.items()})
    comment = "# What is in force from which epoch on; epochs count from 1.\n"
    data = "".join([*choices, comment, assigned(f"{DATA}: dict[int, Node]", policy)])
    ops = {op for epoch in trees for op in op_masses(tree, epoch)}
    return Export(f"{heading(tree, DOC)}\n{runtime(ops, data)}")


def node_code(node: AnyNode, table: Mapping[str, Op], labels: Mapping[Choice, str]) -> Code:
    """Return a node in terms of the classes of _standalone.py; a choice that has a label is its label."""
    match node:
        case Apply():
            return apply_code(node, table[node.op])
        case Sequence():
            return call("InTurn", listing(node_code(child, table, labels) for child in node.nodes))
        case Choice():
            return labels[node] if node in labels else choice_code(node, table, labels)


def choice_code(node: Choice, table: Mapping[str, Op], labels: Mapping[Choice, str]) -> Brackets:
    """Return a choice as `OneOf`."""
    options = (pair(literal(option.weight), node_code(option.node, table, labels)) for option in node.options)
    return call("OneOf", listing(options))


def apply_code(node: Apply, op: Op) -> Brackets:
    """Return an operation as `Apply`."""
    amount = [] if node.amount is None else [literal(node.amount)]
    keywords: dict[str, object] = {"probability": node.probability} if node.probability != 1 else {}
    keywords |= {"mirror": True} if op.signed and node.mirror else {}
    keywords |= {"random": True} if op.random else {}
    return call("Apply", node.op, *amount, **keywords)


def label_repeated_choices(trees: Iterable[AnyNode]) -> dict[Choice, str]:
    """Return a label for each choice that occurs several times, those within others first."""
    counts: Counter[Choice] = Counter()
    inner_first: list[Choice] = []

    def visit(node: AnyNode) -> None:
        if isinstance(node, Choice):
            counts[node] += 1
            if counts[node] > 1:
                return
        for _, child in children(node):
            visit(child)
        if isinstance(node, Choice):
            inner_first.append(node)

    for tree in trees:
        visit(tree)
    repeated = [node for node in inner_first if counts[node] > 1]
    return {node: f"CHOICE_{k}" for k, node in enumerate(repeated, start=1)}


def runtime(ops: set[str], data: str) -> str:
    """Return the imports and definitions of `PARTS` that these operations need, in their order."""
    texts = [files("autoaug.export").joinpath(part).read_text() for part in PARTS]
    bodies = [ast.parse(text).body for text in texts]
    source = {node: text for text, body in zip(texts, bodies, strict=True) for node in body}
    first, *more = bodies
    before = next(k for k, node in enumerate(first) if DATA in names_defined(node))
    body = [*first[:before], *(node for part in more for node in part), *first[before:]]
    definitions = {defined: node for node in body for defined in names_defined(node)}
    require_known(ops, definitions)
    needed = reach({"Policy", *ops}, definitions)
    chosen = dict.fromkeys(node for label, node in definitions.items() if label in needed)
    imports = [node for node in body if isinstance(node, ast.Import | ast.ImportFrom) and not of_ours(node)]
    used = {name for node in chosen for name in names_used(node)}
    sections = [data if DATA in names_defined(node) else segment(source[node], node) for node in chosen]
    return "\n\n\n".join([import_code(imports, used), *sections]) + "\n"


def names_defined(node: ast.stmt) -> list[str]:
    """Return the names that a statement at the top of a module defines, imports apart."""
    match node:
        case ast.FunctionDef() | ast.ClassDef():
            return [node.name]
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            return [name]
        case _:
            return []


def names_used(node: ast.stmt) -> set[str]:
    """Return the names that a definition mentions."""
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


def reach(start: Iterable[str], definitions: Mapping[str, ast.stmt]) -> set[str]:
    """Return the definitions that some of them need, themselves included."""
    reached: set[str] = set()
    waiting = [name for name in start if name in definitions]
    while waiting:
        name = waiting.pop()
        reached.add(name)
        waiting += [used for used in names_used(definitions[name]) if used in definitions and used not in reached]
    return reached


def segment(text: str, node: ast.stmt) -> str:
    """Return the source of a definition, decorators included."""
    decorators = getattr(node, "decorator_list", [])
    first = min([node.lineno, *(decorator.lineno for decorator in decorators)])
    return "\n".join(text.splitlines()[first - 1 : node.end_lineno])


def of_ours(node: ast.Import | ast.ImportFrom) -> bool:
    """Whether one part imports from another: in the file they are one."""
    return isinstance(node, ast.ImportFrom) and str(node.module).startswith("autoaug.")


def plain_first(line: str) -> tuple[bool, str]:
    """Return where a line stands among imports."""
    return line.startswith("from"), line


def import_code(imports: Iterable[ast.Import | ast.ImportFrom], used: set[str]) -> str:
    """Return the imports of names that are used; those of the standard library stand apart."""
    groups: dict[bool, dict[str, None]] = {True: {}, False: {}}
    for node in imports:
        names = [alias for alias in node.names if (alias.asname or alias.name).partition(".")[0] in used]
        module = node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
        if names:
            node.names = names
            groups[str(module).partition(".")[0] in sys.stdlib_module_names][ast.unparse(node)] = None
    return "\n\n".join("\n".join(sorted(lines, key=plain_first)) for lines in groups.values() if lines)
