import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.transcoder import templates
from gateway.transcoder.templates import TemplateError


def test_parses_variables_over_several_segments_and_verbs():
    parsed = templates.parse("/v1/{customer.name=customers/*}/{part}:merge")
    assert parsed.segments == ("v1", "customers", "*", "*")
    assert parsed.verb == "merge"
    assert parsed.values(["v1", "customers", "a", "b"]) == {"customer.name": "customers/a", "part": "b"}


def test_takes_the_rest_of_the_path():
    assert templates.parse("/v1/{name=files/**}").values(["v1", "files", "a", "b"]) == {"name": "files/a/b"}


@pytest.mark.parametrize(
    "text", ["v1/x", "/v1/x/", "/", "/v1/{name=**}/x", "/v1/{name=a//b}", "/v1/{name=a b}", "/v1/{Name}"]
)
def test_refuses_broken_templates(text):
    with pytest.raises(TemplateError, match=r"/"):
        templates.parse(text)


def test_keeps_an_encoded_slash_apart_from_separators():
    assert templates.parse("/v1/{name=customers/*}").values(["v1", "customers", "a%2Fb%20c"]) == {
        "name": "customers/a%2Fb c"
    }
    assert templates.parse("/v1/{id}").values(["v1", "a%2Fb"]) == {"id": "a/b"}


@pytest.mark.parametrize(
    ("left", "right", "overlap"),
    [
        ("/v1/{name=customers/*}", "/v1/customers/{id}", True),
        ("/v1/{name=customers/*}", "/v1/customers/special", True),
        ("/v1/{name=customers/*}", "/v1/customers/{id}:merge", False),
        ("/v1/{name=customers/*}", "/v1/customers", False),
        ("/v1/{name=files/**}", "/v1/files/a/b", True),
        ("/v1/{name=files/**}", "/v1/files", True),
        ("/v1/a/b", "/v1/a/c", False),
    ],
)
def test_tells_which_templates_overlap(left, right, overlap):
    assert templates.parse(left).overlaps(templates.parse(right)) is overlap
    assert templates.parse(right).overlaps(templates.parse(left)) is overlap


@given(st.text(alphabet="abc-._~0", min_size=1, max_size=12))
def test_reads_back_any_plain_id(identifier):
    segments, verb = templates.split(f"/v1/customers/{identifier}:merge")
    assert verb == "merge"
    assert templates.parse("/v1/{name=customers/*}:merge").values(segments) == {"name": f"customers/{identifier}"}
