"""All small changes of functions: another operator, number or word; something left out."""

import ast
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Any, Final

Undo = Callable[[], None]
Apply = Callable[[], Undo]

_COMPARISONS: Final[dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_OPERATORS: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitOr,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.Div: ast.Mult,
}
_PAIRS: Final = (
    ("min", "max"),
    ("any", "all"),
    ("minimum", "maximum"),
    ("is_null", "is_not_null"),
    ("first", "last"),
    ("logical_or", "logical_and"),
    ("any_horizontal", "all_horizontal"),
    ("ne_missing", "eq_missing"),
)
_NAMES: Final = {
    **dict(_PAIRS),
    **{second: first for first, second in _PAIRS},
    "union1d": "intersect1d",
    "cum_sum": "cum_max",
    "head": "tail",
}
_WORDS: Final = {
    "left": "right",
    "right": "left",
    "first": "last",
    "last": "first",
    "semi": "anti",
    "anti": "semi",
    "inner": "left",
    "backward": "forward",
    "forward": "backward",
}
_IN_ORDER_OF_ARGUMENTS: Final = {"sort", "sort_by", "group_by", "over", "unique", "lexsort"}


@dataclass(frozen=True, slots=True)
class Change:
    """A change of one place of a module.

    Attributes:
        lines: the first and last of the statement, of a compound one's head.
        apply: changes the module's tree; what it gives puts it back.
    """

    lines: tuple[int, int]
    line: int
    column: int
    what: str
    apply: Apply


class Module:
    """A module's tree, its changes and its code."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._tree = ast.parse(path.read_text(encoding="utf-8"))
        self.codes = self._compiled()
        # Some change nothing that Python would do otherwise.
        changes = _inside(self._tree, (0, 0), inside=False)
        self.changes = [change for change in changes if self.changed(change)]

    def changed(self, change: Change) -> dict[tuple[str, int], CodeType]:
        """The code of the functions that a change changes, by name and first line."""
        undo = change.apply()
        try:
            codes = self._compiled()
        finally:
            undo()
        return {key: code for key, code in codes.items() if code != self.codes[key]}

    def _compiled(self) -> dict[tuple[str, int], CodeType]:
        code = compile(self._tree, str(self.path), "exec")
        return {(part.co_qualname, part.co_firstlineno): part for part in _parts(code)}


def _parts(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _parts(constant)


def _inside(node: ast.AST, lines: tuple[int, int], *, inside: bool) -> Iterator[Change]:
    for field, value in ast.iter_fields(node):
        if field in {"annotation", "returns", "decorator_list", "args"} and isinstance(
            node, ast.FunctionDef | ast.AnnAssign | ast.arg
        ):
            continue
        is_cast = isinstance(node, ast.Call) and getattr(node.func, "id", "") == "cast"
        for at, child in enumerate(value if isinstance(value, list) else [value]):
            if not isinstance(child, ast.AST) or (is_cast and field == "args" and at == 0):
                continue
            of_child = _lines_of(child) if isinstance(child, ast.stmt) else lines
            if inside:

                def put(
                    new: ast.AST, value: Any = value, at: int = at, field: str = field
                ) -> Apply:
                    if isinstance(value, list):
                        return _with_item(value, at, new)
                    return _with(node, field, new)

                for what, apply in [*_of_expression(child, put), *_left_out(child, put)]:
                    place: Any = child.ifs[0] if isinstance(child, ast.comprehension) else child
                    yield Change(of_child, place.lineno, place.col_offset, what, apply)
            in_function = inside or isinstance(child, ast.FunctionDef)
            yield from _inside(child, of_child, inside=in_function)


def _lines_of(statement: ast.stmt) -> tuple[int, int]:
    body: Sequence[ast.stmt] = getattr(statement, "body", ())
    if body:
        return statement.lineno, max(statement.lineno, body[0].lineno - 1)
    return statement.lineno, statement.end_lineno or statement.lineno


def _of_expression(  # noqa: PLR0912 - one kind of node after the other
    node: ast.AST, put: Callable[[ast.AST], Apply]
) -> Iterator[tuple[str, Apply]]:
    if isinstance(node, ast.Compare):
        for at, comparison in enumerate(node.ops):
            for other in _COMPARISONS[type(comparison)]:
                yield _said(comparison, other), _with_item(node.ops, at, other())
    elif isinstance(node, ast.BinOp | ast.AugAssign):
        is_text = isinstance(node, ast.BinOp) and isinstance(node.left, ast.JoinedStr)
        if type(node.op) in _OPERATORS and not is_text:
            operator = _OPERATORS[type(node.op)]
            yield _said(node.op, operator), _with(node, "op", operator())
    elif isinstance(node, ast.UnaryOp):
        yield f"without {type(node.op).__name__}", put(node.operand)
    elif isinstance(node, ast.BoolOp):
        both = ast.Or if isinstance(node.op, ast.And) else ast.And
        yield _said(node.op, both), _with(node, "op", both())
        if len(node.values) > 2:
            for at in range(len(node.values)):
                yield f"without operand {at + 1}", _without(node.values, at)
    elif isinstance(node, ast.Constant):
        for value in _other_values(node.value):
            yield f"{node.value!r} -> {value!r}", put(_at(ast.Constant(value), node))
    elif isinstance(node, ast.Attribute) and node.attr in _NAMES:
        other_name = _NAMES[node.attr]
        yield f".{node.attr} -> .{other_name}", _with(node, "attr", other_name)
    elif isinstance(node, ast.Call):
        called = node.func
        if isinstance(called, ast.Name) and called.id in _NAMES:
            yield f"{called.id} -> {_NAMES[called.id]}", _with(called, "id", _NAMES[called.id])
        if isinstance(called, ast.Attribute) and called.attr in _IN_ORDER_OF_ARGUMENTS:
            for at in range(len(node.args) if len(node.args) > 1 else 0):
                yield f"{called.attr} without argument {at + 1}", _without(node.args, at)


def _left_out(node: ast.AST, put: Callable[[ast.AST], Apply]) -> Iterator[tuple[str, Apply]]:
    if isinstance(node, ast.If | ast.While | ast.IfExp):
        for value in (False,) if isinstance(node, ast.While) else (True, False):
            yield f"if -> {value}", _with(node, "test", _at(ast.Constant(value), node.test))
    if isinstance(node, ast.comprehension):
        for at in range(len(node.ifs)):
            yield "comprehension without its if", _without(node.ifs, at)
    target = node.targets[0] if isinstance(node, ast.Assign) else None
    if (
        isinstance(node, ast.AugAssign | ast.Continue | ast.Break | ast.Raise)
        or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call))
        or isinstance(target, ast.Subscript | ast.Attribute)
        or (isinstance(node, ast.Return) and node.value is None)
    ):
        yield "statement left out", put(_at(ast.Pass(), node))


def _other_values(value: object) -> list[Any]:
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, value - 1]
    return [_WORDS[value]] if isinstance(value, str) and value in _WORDS else []


def _said(before: ast.AST, after: type[ast.AST]) -> str:
    return f"{type(before).__name__} -> {after.__name__}"


def _at(new: ast.AST, place: ast.AST) -> ast.AST:
    return ast.fix_missing_locations(ast.copy_location(new, place))


def _with(node: Any, name: str, value: object) -> Apply:
    def apply() -> Undo:
        before = getattr(node, name)
        setattr(node, name, value)
        return lambda: setattr(node, name, before)

    return apply


def _with_item(items: list[Any], at: int, value: object) -> Apply:
    def apply() -> Undo:
        before = items[at]
        items[at] = value

        def undo() -> None:
            items[at] = before

        return undo

    return apply


def _without(items: list[Any], at: int) -> Apply:
    def apply() -> Undo:
        before = items.pop(at)
        return lambda: items.insert(at, before)

    return apply
