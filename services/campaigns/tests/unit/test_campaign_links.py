"""Which links of a mail are tracked."""

from campaigns.domain.links import origins, rewrite_html, rewrite_text


def track(url: str) -> str:
    return f"T({url})"


def test_links_in_plain_text_are_replaced_without_the_sentence_around_them() -> None:
    source = "See https://shop.example/a?b=1&c=2. Or (http://shop.example:8080/x), now!"
    found = rewrite_text(source, origins(source), track)
    assert found == "See T(https://shop.example/a?b=1&c=2). Or (T(http://shop.example:8080/x)), now!"


def test_links_in_html_are_replaced_however_they_are_quoted() -> None:
    source = (
        '<a class="b" href="https://shop.example/?a=1&amp;b=2">x</a><A HREF=\'HTTPS://shop.example/y\'>y</A>'
        '<area href=https://shop.example/z><img src="https://shop.example/i.png"><a href="mailto:a@b.example">m</a>'
    )
    found = rewrite_html(source, origins(source), track)
    assert 'href="T(https://shop.example/?a=1&amp;b=2)"' in found
    assert 'HREF="T(HTTPS://shop.example/y)"' in found
    assert 'href="T(https://shop.example/z)"' in found
    assert 'src="https://shop.example/i.png"' in found
    assert 'href="mailto:a@b.example"' in found


def test_a_value_that_is_an_address_gets_no_redirect_of_ours() -> None:
    allowed = origins("Hello {{ name }}, see https://shop.example/{{ path }} or https://{{ host }}/ ")
    assert allowed == {"https://shop.example"}
    rendered = "Hello https://evil.example/win, see https://shop.example/sale or https://evil.example/"
    assert rewrite_text(rendered, allowed, track) == (
        "Hello https://evil.example/win, see T(https://shop.example/sale) or https://evil.example/"
    )
    lookalike = "https://shop.example.evil.example/ https://shop.example@evil.example/ https://shop.examples/"
    assert rewrite_text(lookalike, allowed, track) == lookalike


def test_a_host_that_goes_on_in_a_value_is_no_origin() -> None:
    assert origins("https://shop.example{{ rest }}") == frozenset()
    assert origins("https://shop.example") == {"https://shop.example"}
