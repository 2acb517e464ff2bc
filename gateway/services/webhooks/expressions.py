"""JMESPath (jmespath.org) with a bound on its work.

A short expression can ask for more than any machine has (``[@, @][] | [@, @][] | ...`` doubles at each step), so every
step and every value that is made is counted.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from jmespath.exceptions import JMESPathError
from jmespath.functions import Functions
from jmespath.parser import Parser
from jmespath.visitor import TreeInterpreter

#: Octets of an event that an expression is run over.
INPUT_LIMIT = 1024 * 1024
#: Steps of one run; a value that is made costs one for each value in it, and for each 64 characters.
STEPS = 200_000

#: What makes values that were not there before.
_MAKERS = frozenset(
    {"multi_select_list", "multi_select_dict", "flatten", "function_expression", "slice"}
    | {"projection", "filter_projection", "value_projection"}
)


class ExpressionError(Exception):
    """An expression cannot be used, or did not come to an end."""


class _Exhausted(Exception):  # noqa: N818  never leaves this module
    """The steps are used up."""


# The library is not annotated.
class _Counting(TreeInterpreter):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self._left = STEPS

    def visit(self, node: Any, *args: Any, **kwargs: Any) -> Any:
        self._spend(1)
        value = super().visit(node, *args, **kwargs)
        if node["type"] in _MAKERS:
            self._weigh(value)
        return value

    def _spend(self, steps: int) -> None:
        self._left -= steps
        if self._left < 0:
            raise _Exhausted

    def _weigh(self, value: Any) -> None:
        waiting = [value]
        while waiting:
            value = waiting.pop()
            if isinstance(value, str):
                self._spend(1 + len(value) // 64)
            elif isinstance(value, list):
                self._spend(1 + len(value))
                waiting += [item for item in value if isinstance(item, str | list | dict)]
            elif isinstance(value, dict):
                self._spend(1 + len(value))
                waiting += [item for item in value.values() if isinstance(item, str | list | dict)]


@lru_cache(maxsize=1024)
def parse(expression: str) -> Any:
    """Return the syntax tree of an expression.

    Raises:
        ExpressionError: it is not JMESPath, or uses a function that there is not.
    """
    try:
        tree = Parser().parse(expression).parsed
        _check_functions(tree)
    except RecursionError:
        raise ExpressionError("is nested too deeply") from None
    except (JMESPathError, ValueError) as error:
        # It quotes the expression, with a mark below the place.
        raise ExpressionError(f"is not JMESPath: {str(error).splitlines()[0][:200]}") from None
    return tree


def _check_functions(node: Any) -> None:
    if not isinstance(node, dict):
        return
    if node.get("type") == "function_expression":
        found = Functions.FUNCTION_TABLE.get(node["value"])
        if found is None:
            raise ExpressionError(f"uses a function that there is not: {node['value']}")
        signature, given = found["signature"], len(node["children"])
        variadic = bool(signature) and bool(signature[-1].get("variadic"))
        if given < len(signature) or (given > len(signature) and not variadic):
            raise ExpressionError(f"gives {node['value']} {given} arguments; it takes {len(signature)}")
    for child in node.get("children", ()):
        _check_functions(child)


def evaluate(expression: str, value: Any) -> Any:
    """Return what an expression makes of a value; null where the value has another form than it expects.

    Raises:
        ExpressionError: it does not come to an end within the bounds.
    """
    try:
        return _Counting().visit(parse(expression), value)
    except _Exhausted:
        raise ExpressionError("takes too much work") from None
    except RecursionError:
        raise ExpressionError("is nested too deeply") from None
    except (JMESPathError, ValueError, TypeError, ArithmeticError, LookupError, AttributeError):
        # E.g. contains() of a subject that is not there.
        return None


def holds(expression: str, value: Any) -> bool:
    """Tell whether a filter lets a value through: what it returns is neither empty, false nor null.

    Raises:
        ExpressionError: as `evaluate`.
    """
    found = evaluate(expression, value)
    return not (found is None or found is False or (isinstance(found, str | list | dict) and not found))
