"""A stream includes exactly the paths that its patterns match, in spite of the shortcut for other paths."""

from hypothesis import example, given, settings
from hypothesis import strategies as st
from wcmatch import glob

from tests.mirror.parts import CAMERA, stream_of

PART = st.text("ab.*?[]!-\\", min_size=1, max_size=4) | st.sampled_from(
    ["**", "*", "a*", "*.jpg", "[a/b]", "HDR_*.JPG"]
)
NAME = st.text("ab.-]\\", min_size=1, max_size=4) | st.sampled_from(["a.jpg", "HDR_1.JPG", ".a", "a\nb"])
PATTERNS = st.lists(PART, min_size=1, max_size=3).map("/".join)


@settings(max_examples=400)
@given(st.lists(PATTERNS, min_size=1, max_size=3), st.lists(NAME, min_size=1, max_size=3).map("/".join))
@example(["FISH/**"], "FISH/a/b")
@example(["**/*"], "a")
@example(["a/[b/c]"], "a/b")
@example(["a/**b"], "a/ab")
def test_a_stream_includes_a_path_that_one_of_its_patterns_matches(include: list[str], path: str) -> None:
    try:
        stream = stream_of("/", CAMERA, include=include)
    except ValueError:
        return  # not a relative path
    # An extension matches in either case, unlike in wcmatch: tests of the site file cover that.
    if any(part.isalpha() for part in (pattern.rpartition(".")[2] for pattern in include if "." in pattern)):
        return
    assert stream.includes(path) == glob.globmatch(path, include, flags=glob.GLOBSTAR | glob.FORCEUNIX)
