"""What is wrong with a JSON document: each of its places, replaced by what does not belong there."""

from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

Path = tuple[str | int, ...]

WRONG: tuple[Any, ...] = (None, True, -1, 10**30, 1e308, "", "x\ny", "../../etc", "$(id)", [], [None], {}, {"": {}})

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


def places(document: Any, here: Path = ()) -> Iterator[Path]:
    """Every place in the document, itself included."""
    yield here
    if isinstance(document, dict | list):
        inner = document.items() if isinstance(document, dict) else enumerate(document)
        for name, value in inner:
            yield from places(value, (*here, name))


def replaced(document: Any, place: Path, value: Any) -> Any:
    """The document with another value there."""
    if not place:
        return value
    name, *rest = place
    copy: Any = dict(document) if isinstance(document, dict) else list(document)
    copy[name] = replaced(document[name], tuple(rest), value)
    return copy
