"""A text's language is told by its script and its function words."""

from __future__ import annotations

import pytest

from danlu.data.filters.language import shares


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("这个手机 iPhone 15 Pro 很好用", "zh"),
        ("質量很好，值得購買", "zh"),
        ("Great product!", "en"),
        ("I ate 饺子 with my friends yesterday", "en"),
        ("It's a café near the Zürich office, and the crème brûlée is good", "en"),
        ("ありがとうございます、とても良い商品でした", "other"),
        ("東京大学の学生です", "other"),
        ("정말 좋은 제품입니다", "other"),
        ("Очень хороший товар, спасибо", "other"),
        ("منتج رائع جدا", "other"),
        ("สินค้าดีมาก", "other"),
        ("Très bon produit, je recommande à tous", "other"),
        ("Der Versand war schnell und die Qualität ist sehr gut", "other"),
        ("El producto es muy bueno y llegó a tiempo", "other"),
        ("Il prodotto non è buono, sono molto deluso", "other"),
        ("O produto não presta, mas a loja é boa", "other"),
        ("Het product is niet goed en de levering was traag", "other"),
        ("Produk ini sangat bagus dan tidak mahal", "other"),
        ("Produkt jest bardzo dobry, ale nie dla mnie", "other"),
        ("Sản phẩm này rất tốt và không đắt", "other"),
        ("Bu ürün çok iyi ve ucuz", "other"),
        ("Jag är mycket nöjd med den här", "other"),
        ("12345 !!! 😀", "other"),
    ],
)
def test_largest(text: str, expected: str) -> None:
    assert shares(text).largest == expected


def test_shares_add_up() -> None:
    found = shares("这个很好 but the battery is weak")
    assert found.words == 9
    assert (found.zh, found.en, found.other) == (4 / 9, 5 / 9, 0.0)
    assert found.of(["zh", "en"]) == pytest.approx(1.0)
    assert shares("123").words == 0


def test_broken_emoji_are_no_language() -> None:
    assert shares("scary cars Õ¢ ÕÉë Š‘").largest == "en"
