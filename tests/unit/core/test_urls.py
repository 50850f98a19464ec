"""What is secret in a URL, as people write URLs."""

from __future__ import annotations

import pytest

from danlu.core.urls import hide_urls, secret_in, without_secrets


@pytest.mark.parametrize(
    ("url", "what", "shown"),
    [
        ("postgresql://reader:hun/ter2@db.example/shop", "a password", "postgresql://db.example/shop"),
        ("postgresql://reader:12/hunter2@db.example/shop", "a password", "postgresql://db.example/shop"),
        ("mysql+pymysql://reader:hunter2?x#y@db.example/shop", "a password", "mysql+pymysql://db.example/shop"),
        ("s3://AKIA:hun/ter2@bucket/a.csv", "a password", "s3://bucket/a.csv"),
        ("https://me:p@ss/hunter2@example.org/a.csv", "a password", "https://example.org/a.csv"),
        ("https://hunter2@example.org/a.csv", "a token", "https://example.org/a.csv"),
        ("https://hunter2:@example.org/a.csv", "a token", "https://example.org/a.csv"),
        ("postgresql://u:${PW}hunter2@h/d", "a password", "postgresql://h/d"),
        ("https://h/a?x=${X}&token=hunter2", "a secret (the parameter 'token')", "https://h/a"),
        ("https://h/a?token=${X}&sig=hunter2", "a secret (the parameter 'sig')", "https://h/a"),
        ("https://h/a?token=${X}hunter2", "a secret (the parameter 'token')", "https://h/a"),
        ("mysql://u@h/d?pass=hunter2", "a secret (the parameter 'pass')", "mysql://h/d"),
        ("https://user:12345/hunter2@host/f", "a password", "https://host/f"),
        ("https://h/f#access_token=hunter2", "a secret (the parameter 'access_token')", None),
        ("https://h/f?sign=hunter2", "a secret (the parameter 'sign')", "https://h/f"),
        ("https://h/f?%70assword=hunter2", "a secret (the parameter 'password')", "https://h/f"),
        ("https://h/a?basic_auth=hunter2", "a secret (the parameter 'basic_auth')", "https://h/a"),
        ("https://h/a;jsessionid=1;auth=hunter2", "a secret (the parameter 'auth')", None),
    ],
)
def test_a_secret_is_found_and_not_shown(url: str, what: str, shown: str | None) -> None:
    assert secret_in(url) == what
    if shown is not None:
        assert without_secrets(url) == shown
        assert "hunter2" not in hide_urls(f"404 Not Found, url='{url}' (redirected)")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://reader:${DB_PASSWORD}@db.example/shop",
        "postgresql://reader@db.example/shop?sslpassword=${PW}",
        "https://example.org:8080/%40scope/package%401.2/a.csv",
        "postgresql://reader:${PW}@db.example/shop?application_name=me@x.com",
        "https://[::1]:8000/a@b.csv",
        "https://example.org/@me/a.csv?author=x&compass=2",
        "s3://bucket/folder@v2/a.csv",
        "memory://a/b@c:d.csv",
        "reviews:2024@home.csv",
    ],
)
def test_what_is_no_secret_is_left_alone(url: str) -> None:
    assert secret_in(url) is None
    if "reader" not in url:
        assert without_secrets(url) == url.partition("?")[0]
