"""Which URLs a message may carry."""

import pytest

from admin.messages.urls import image_flaw, link_flaw

SCHEMES = frozenset({"acme"})


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "HTTPS://Example.com:8443/a/b?c=d&e=%20#f@g",
        "https://xn--bcher-kva.example/",
        "https://bücher.example/",
        "https://[2001:db8::1]/",
        "https://example.com./",
        "https://example.com?next=//evil.example@x",
        "http://localhost:8704/page",
        "http://127.0.0.1",
        "http://[::1]:3000/",
        "mailto:help@example.com?subject=Hi",
        "tel:+49-30-123456",
        "acme://pricing",
        "ACME:pricing",
        "acme:///deep/link?user=a@b",
    ],
)
def test_takes_what_is_on_the_list(url: str) -> None:
    assert link_flaw(url, SCHEMES) is None


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("javascript:alert(1)", "url_scheme_not_allowed"),
        ("JaVaScRiPt:alert(1)", "url_scheme_not_allowed"),
        ("data:text/html,x", "url_scheme_not_allowed"),
        ("vbscript:x", "url_scheme_not_allowed"),
        ("file:///etc/passwd", "url_scheme_not_allowed"),
        ("ftp://example.com", "url_scheme_not_allowed"),
        ("other://x", "url_scheme_not_allowed"),
        ("http://example.com", "url_scheme_not_allowed"),
        ("http://localhost.example.com", "url_scheme_not_allowed"),
        ("http://127.0.0.1.example.com", "url_scheme_not_allowed"),
        ("https://user@example.com", "url_userinfo"),
        ("https://user:password@example.com", "url_userinfo"),
        ("http://localhost@example.com", "url_userinfo"),
        ("https://@example.com", "url_userinfo"),
        ("acme://user@host", "url_userinfo"),
        ("java\tscript:alert(1)", "invalid_url"),
        (" https://example.com", "invalid_url"),
        ("https://example.com\n", "invalid_url"),
        ("https://exa mple.com", "invalid_url"),
        ("https://example.com/\u00a0x", "invalid_url"),
        ("https://example.com/\u202etxt", "invalid_url"),
        ("https://example.com/\u200b", "invalid_url"),
        ("https://example.com/\x7f", "invalid_url"),
        ("https:\\\\example.com", "invalid_url"),
        ("https://good.example\\@evil.example", "invalid_url"),
        ("https://", "invalid_url"),
        ("https:///evil.example", "invalid_url"),
        ("https://?x", "invalid_url"),
        ("https://:443/", "invalid_url"),
        ("https://example.com:99999/", "invalid_url"),
        ("https://example.com:x/", "invalid_url"),
        ("https://[::1", "invalid_url"),
        ("https://exa%6dple.com", "invalid_url"),
        ("https://..", "invalid_url"),
        ("https:example.com", "invalid_url"),
        ("//example.com", "invalid_url"),
        ("/pricing", "invalid_url"),
        ("pricing", "invalid_url"),
        ("mailto:", "invalid_url"),
        ("tel:", "invalid_url"),
        ("acme:", "invalid_url"),
        ("", "invalid_url"),
    ],
)
def test_refuses_everything_else(url: str, code: str) -> None:
    flaw = link_flaw(url, SCHEMES)
    assert flaw is not None and flaw.code == code


def test_an_image_comes_over_https_and_nothing_else() -> None:
    assert image_flaw("https://cdn.example.com/x.png") is None
    refused = ["http://localhost/x.png", "mailto:a@b", "acme://x", "data:image/png;base64,x", "/x.png", "https://a b"]
    assert all(image_flaw(url) is not None for url in refused)
