"""Personal data goes, whole; numbers that only look like it stay."""

from __future__ import annotations

import random
import time

import pytest

from danlu.data.mask.checksums import luhn, mod11_2
from danlu.data.mask.masker import mask

ID = "11010519491231002X"
CARD = "6222021234567890128"


def wide(text: str) -> str:
    return "".join(chr(ord(sign) + 0xFEE0) if "!" <= sign <= "~" else sign for sign in text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("邮箱abc.def+1@qq.com谢谢", "邮箱[EMAIL]谢谢"),
        ("write to Jo_Bloggs@mail.example.co.uk.", "write to [EMAIL]."),
        (wide("abc@qq.com") + "收", "[EMAIL]收"),
        ("电话13800138000。", "电话[PHONE]。"),
        ("138 0013 8000或138-0013-8000", "[PHONE]或[PHONE]"),
        ("+86 13800138000, 0086-13800138000, 8613800138000", "[PHONE], [PHONE], [PHONE]"),
        ("Tel13800138000", "Tel[PHONE]"),
        ("138.0013.8000，+86 138.0013.8000", "[PHONE]，[PHONE]"),
        ("1.13800138000", "1.[PHONE]"),
        ("联系人\n 1.13800138000, 2.13900139000；10.15912345678", "联系人\n 1.[PHONE], 2.[PHONE]；10.[PHONE]"),
        ("a.b-@x.com a.b.@x.com a+@x.com " + wide("a.b-@x.com"), "[EMAIL] [EMAIL] [EMAIL] [EMAIL]"),
        (wide("13800138000"), "[PHONE]"),
        ("（０１０）６２３４５６７８", "[PHONE]"),
        ("010-62345678转801 021 6234 5678 0571-88886666", "[PHONE] [PHONE] [PHONE]"),
        ("call (415) 555-2671 or 415.555.2671", "call [PHONE] or [PHONE]"),
        ("+44 20 7946 0958, +1 (415) 555-2671", "[PHONE], [PHONE]"),
        ("call +44 20 7946 0958 or call 44 20 7946 0958.", "call [PHONE] or call [PHONE]."),
        ("电话 +86 10 6234 5678，传真 +81 3 1234 5678", "电话 [PHONE]，传真 [PHONE]"),
        ("tel: +852 2345 6789, text +91 98765 43210 now", "tel: [PHONE], text [PHONE] now"),
        ("call +7 495 123-45-67, +33 1 23 45 67 89, +49 (0)30 123456", "call [PHONE], [PHONE], [PHONE]"),
        ("phone 212 555 0123", "phone [PHONE]"),
        ("call 5551 2345 20 times", "call [PHONE] 20 times"),
        ("电话𝟏𝟑𝟖𝟎𝟎𝟏𝟑𝟖𝟎𝟎𝟎或١٣٨٠٠١٣٨٠٠٠", "电话[PHONE]或[PHONE]"),
        ("电话1️⃣3️⃣8️⃣0️⃣0️⃣1️⃣3️⃣8️⃣0️⃣0️⃣0️⃣谢谢", "电话[PHONE]谢谢"),
        ("打1⃣3⃣8⃣0⃣0⃣1⃣3⃣8⃣0⃣0⃣0⃣，9️⃣折", "打[PHONE]，9️⃣折"),
        ("加①③⑧⓪⓪①③⑧⓪⓪⓪或①③⑧ ⓪⓪①③ ⑧⓪⓪⓪哦", "加[PHONE]或[PHONE]哦"),
        ("❶❸❽❶❷❸❹❺❻❼❽ 1③8①2345⑥78 ①3800138000", "[PHONE] [PHONE] [PHONE]"),
        ("①13800138000②13900139000 ③010-62345678", "①[PHONE]②[PHONE] ③[PHONE]"),
        ("①苹果3斤②梨5个，①②③都要", "①苹果3斤②梨5个，①②③都要"),
        (f"身份证{ID}。", "身份证[CHINA_ID]。"),
        (wide(ID.lower()), "[CHINA_ID]"),
        ("110105 19491231 002X", "[CHINA_ID]"),
        ("身份证号码：110105491231002", "身份证号码：[CHINA_ID]"),
        (f"卡号{CARD}", "卡号[BANK_CARD]"),
        ("4111 1111 1111 1111 / 3782-822463-10005", "[BANK_CARD] / [BANK_CARD]"),
        (f"{ID}，13800138000，a@b.cn", "[CHINA_ID]，[PHONE]，[EMAIL]"),
    ],
)
def test_values_are_replaced_whole(text: str, expected: str) -> None:
    assert mask(text)[0] == expected


@pytest.mark.parametrize(
    "text",
    [
        "110105194912310021",  # the check character is wrong
        "11010519491331002X",  # there is no 13th month
        "4111111111111112",  # not Luhn
        "6222 0202 0011 2233 445",
        "订单号：4111111111111111",
        "order no. 13800138000",
        "下单时间20240315123456789",
        "1700000000 1700000000000 2024-03-15 12:34:56.789",
        "价格0.13812345678元",
        "pi is 3.14159265358, half of it 1.57079632679",
        "1.5, 3.13800138000, 0.13800138000",
        "x = 1.13800138000",
        "0.13800138000",
        "123.13800138000 192.168.1.13800138000",
        "2.1380013800012 1.13800138000.5 138.0013.8000.1",
        "ISBN 9787111213826, 95588",
        "110105491231002",  # 15 digits, no checksum, and no word that says what they are
        "@someone and @another: 3 @ 5",
        "a@b",
    ],
)
def test_what_is_no_personal_data_stays(text: str) -> None:
    assert mask(text) == (text, {})


def test_only_the_kinds_asked_for_are_masked() -> None:
    text, found = mask(f"{ID} 13800138000 a@b.cn", ["email"])
    assert text == f"{ID} 13800138000 [EMAIL]"
    assert found == {"email": 1}


def test_checksums() -> None:
    assert luhn("4111111111111111")
    assert sum(luhn(f"411111111111111{digit}") for digit in range(10)) == 1
    assert mod11_2(ID)
    assert sum(mod11_2(ID[:17] + check) for check in "0123456789X") == 1


def test_order_numbers_and_timestamps_are_not_hit() -> None:
    draw = random.Random(7)
    makers = (
        lambda: f"订单号{draw.randrange(10**17, 10**18)}",
        lambda: f"order #{draw.randrange(10**15, 10**16)}",
        lambda: f"20{draw.randrange(10, 27)}{draw.randrange(10, 13)}{draw.randrange(10, 29)}{draw.randrange(10**9)}",
        lambda: str(draw.randrange(1_500_000_000, 1_790_000_000)),
        lambda: str(draw.randrange(1_500_000_000_000, 1_790_000_000_000)),
        lambda: f"JD{draw.randrange(10**12, 10**15)}",
        lambda: str(draw.randrange(10**11, 10**12)),
    )
    texts = [f"见 {makers[number % len(makers)]()} 谢谢" for number in range(7_000)]
    assert [text for text in texts if mask(text)[1]] == []


def test_generated_identities_and_cards_are_all_found() -> None:
    draw = random.Random(8)
    missed = []
    for _ in range(500):
        body = f"{draw.choice(('11', '31', '44', '65'))}{draw.randrange(10**4):04d}"
        body += f"{draw.randrange(1930, 2015)}{draw.randrange(1, 13):02d}{draw.randrange(1, 29):02d}"
        body += f"{draw.randrange(1000):03d}"
        number = next(body + check for check in "0123456789X" if mod11_2(body + check))
        card = f"62{draw.randrange(10**16):016d}"
        card = next(card + digit for digit in "0123456789" if luhn(card + digit))
        grouped = " ".join(card[start : start + 4] for start in range(0, 19, 4))
        text = f"我是{number}，卡{card}或{grouped}"
        if mask(text)[0] != "我是[CHINA_ID]，卡[BANK_CARD]或[BANK_CARD]":
            missed.append(text)
    assert missed == []


@pytest.mark.parametrize("part", ["1", "a@", "1-", "+1 ", "(0", "a.", "x@a-", "６", "62 "])
def test_no_text_makes_the_search_slow(part: str) -> None:
    started = time.process_time()
    mask(part * 20_000)
    assert time.process_time() - started < 2


def test_decimals_are_not_hit() -> None:
    draw = random.Random(9)
    texts = [f"值 {draw.randrange(10**3)}.{draw.randrange(10**10, 10**11)} 元" for _ in range(3_000)]
    assert [text for text in texts if mask(text)[1]] == []


@pytest.mark.parametrize("text", ["please call before {} 17:12:28", "call by {} 9:30", "电话时间 {} 08:05:00"])
@pytest.mark.parametrize("day", ["2022-03-22", "2026/12/31", "2022-3-22", "2021-9-1"])
def test_a_day_after_a_word_for_phone_is_a_day(text: str, day: str) -> None:
    assert mask(text.format(day))[0] == text.format(day)
