"""Dialogues, modes, near misses, patterns of one's own, and threads."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jsonschema
import pytest
from pydantic import TypeAdapter, ValidationError

from danlu.core.errors import UserError
from danlu.core.fingerprint import SECRET, plain
from danlu.data.mask.config import DEFAULT_KINDS, MaskConfig, MaskSection
from danlu.data.mask.masker import Masker, NearMiss
from danlu.data.mask.pseudonyms import key_mark, read_key

KEY = b"a key that is long enough"
ID = "11010519491231002X"


def masker(**section: object) -> Masker:
    return Masker(MaskConfig.model_validate(section), KEY)


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        (["我的手机号是138", "0013", "8000，记下了吗"], ["我的手机号是[PHONE]", "[PHONE]", "[PHONE]，记下了吗"]),
        (
            ["手机138", "嗯", "0013", "好的，请继续。", "8000"],
            ["手机[PHONE]", "嗯", "[PHONE]", "好的，请继续。", "[PHONE]"],
        ),
        (["电话幺三八", "嗯嗯", "零零幺三", "八零零零"], ["电话[PHONE]", "嗯嗯", "[PHONE]", "[PHONE]"]),
        (["my number is one three eight", "uh-huh", "zero zero one three", "and then eight zero zero zero"],
         ["my number is [PHONE]", "uh-huh", "[PHONE]", "and then [PHONE]"]),
        (["身份证110105", "19491231", "后面是002X"], ["身份证[CHINA_ID]", "[CHINA_ID]", "后面是[CHINA_ID]"]),
        (["买了138", "0013个", "8000"], ["买了138", "0013个", "8000"]),
        (["13800138000", "13900139000"], ["[PHONE]", "[PHONE]"]),
        (["", "a@b.cn", ""], ["", "[EMAIL]", ""]),
    ],
)  # fmt: skip
def test_values_over_turns_go_whole(turns: list[str], expected: list[str]) -> None:
    assert list(masker().mask_parts(turns).parts) == expected


def test_a_value_over_turns_counts_once() -> None:
    assert masker().mask_parts(["手机138", "嗯", "0013", "8000"]).counts == {"phone": 1}


def test_a_transcript_in_one_text() -> None:
    text = "用户：我的电话是138\n客服：嗯\n用户：0013\n用户：8000"
    expected = "用户：我的电话是[PHONE]\n客服：嗯\n用户：[PHONE]\n用户：[PHONE]"
    assert masker().mask_parts((text,)).parts == (expected,)
    assert masker().mask_parts(("电话138\n0013\n8000。",)).parts == ("电话[PHONE]。",)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("买了3\n加我扣扣：4911430620", "买了3\n加我扣扣：[QQ]"),
        ("flight 1572.\n1) +49 30 7832850\n2) no", "flight 1572.\n1) [PHONE]\n2) no"),
        ("6259-6585-9877-0972\n2) no", "[BANK_CARD]\n2) no"),
        ("三\n密码是Abc12345", "三\n密码是[SECRET]"),
    ],
)
def test_a_line_that_ends_with_a_digit_hides_nothing(text: str, expected: str) -> None:
    assert masker().mask_parts((text,)).parts == (expected,)


def test_pseudonyms_are_the_same_for_the_same_value_however_written() -> None:
    ways = ("13800138000", "138 0013 8000", "+86 138-0013-8000", "１３８００１３８０００", "幺三八零零幺三八零零零")
    masked = {masker(mode="pseudonym", key_env="K").mask_parts((f"电话{way}。",)).parts[0] for way in ways}
    assert len(masked) == 1
    assert re.fullmatch(r"电话\[PHONE_[0-9a-f]{12}\]。", masked.pop())


def test_pseudonyms_differ_by_value_by_kind_and_by_key() -> None:
    config = MaskConfig.model_validate({"mode": "pseudonym", "key_env": "K"})
    text = ("a@b.cn c@d.cn",)
    first, second = Masker(config, KEY).mask_parts(text).parts[0].split()
    assert first != second
    assert Masker(config, KEY[::-1]).mask_parts(text).parts[0].split()[0] != first
    assert key_mark(KEY) != key_mark(KEY[::-1])


def test_a_row_is_dropped_by_kind() -> None:
    result = masker(modes={"china_id": "drop"}).mask_parts((f"{ID} a@b.cn",))
    assert result.drop == "personal_data:china_id"
    assert result.parts == ("[CHINA_ID] [EMAIL]",)
    assert masker(modes={"china_id": "drop"}).mask_parts(("a@b.cn",)).drop == ""


def test_near_misses_are_listed() -> None:
    wrong = ID[:-1] + "1"
    turns = ("您好", f"身份证号是{wrong}", "卡号4111111111111112")
    result = masker().mask_parts(turns)
    assert result.near_misses == (NearMiss("china_id", 1, 5, 23), NearMiss("bank_card", 2, 2, 18))
    assert result.parts == ("您好", "身份证号是[CHINA_ID]", "卡号[BANK_CARD]")
    kept = masker(near_misses="keep").mask_parts(turns)
    assert kept.parts == turns
    assert kept.near_misses == result.near_misses
    assert masker().mask_parts((wrong, "4111111111111112")).near_misses == ()


def test_patterns_of_ones_own() -> None:
    patterns = [
        {"name": "policy_number", "regex": r"P[0-9]{9}", "checksum": "none"},
        {"name": "order_number", "regex": r"单号(?P<value>[0-9]{10})", "checksum": "luhn"},
        {"name": "member", "regex": r"M[0-9]{4}", "checksum": "verhoeff"},
    ]
    right = next(digit for digit in "0123456789" if _luhn("799273987" + digit))
    wrong = str((int(right) + 1) % 10)
    text = f"保单P123456789，单号799273987{right}，单号799273987{wrong}，M2363，M2364"
    expected = f"保单[POLICY_NUMBER]，单号[ORDER_NUMBER]，单号799273987{wrong}，[MEMBER]，M2364"
    assert masker(kinds=[], patterns=patterns).mask_parts((text,)).parts == (expected,)


def _luhn(digits: str) -> bool:
    doubled = [int(digit) * (2 if place % 2 else 1) for place, digit in enumerate(reversed(digits))]
    return sum(value // 10 + value % 10 for value in doubled) % 10 == 0


def test_allowed_values_stay() -> None:
    masked = masker(allow=["support@acme.com", "400-820-8820"]).mask_parts(
        ("Support@Acme.com, bob@acme.com 400-820-8820",)
    )
    assert masked.parts == ("Support@Acme.com, [EMAIL] 400-820-8820",)


def test_overlapping_findings_leave_no_part() -> None:
    class Wide:
        def find(self, text: str) -> list[object]:
            from danlu.data.mask.spans import Span

            return [Span(text.index("@") - 1, len(text), "email", "x")]

    config = MaskConfig.model_validate(["email"])
    assert Masker(config, finders=[Wide()]).mask_parts(("mail ab@c.cn now",)).parts == ("mail [EMAIL]",)  # type: ignore[list-item]


def test_threads_see_what_one_sees() -> None:
    shared = masker(kinds=[*DEFAULT_KINDS, "person"])
    texts = [(f"我叫王小明，电话1380013{number:04d}，住在文三路{number}号", "嗯") for number in range(400)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(shared.mask_parts, texts)) == [shared.mask_parts(text) for text in texts]


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"mode": "pseudonym"}, "pseudonyms need a secret key"),
        ({"modes": {"phone": "pseudonym"}}, "pseudonyms need a secret key"),
        ({"mode": "pseudonym", "key_env": "K", "key_file": "f"}, "one key is enough"),
        ({"kinds": ["email"], "modes": {"phone": "drop"}}, "'phone' is not looked for; there are email"),
        ({"kinds": ["fax"]}, "Input should be"),
        ({"patterns": [{"name": "email", "regex": "x"}]}, "'email' is taken"),
        ({"patterns": [{"name": "x", "regex": "("}]}, "is not a regular expression"),
        ({"patterns": [{"name": "x", "regex": "a*"}]}, "matches an empty text"),
    ],
)
def test_a_wrong_section_is_explained(section: object, message: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(message)):
        MaskConfig.model_validate(section)


def test_a_list_stands_for_kinds() -> None:
    assert MaskConfig.model_validate(["phone", "email", "phone"]).kinds == ["email", "phone"]
    assert MaskConfig.model_validate([]).names == []
    assert Masker(MaskConfig.model_validate([])).mask_parts((f"{ID} a@b.cn",)).parts == (f"{ID} a@b.cn",)
    schema = TypeAdapter(MaskSection).json_schema()
    described = jsonschema.Draft202012Validator(schema)
    assert all(described.is_valid(value) for value in (["email"], [], {"kinds": ["email"]}, {"mode": "drop"}))
    assert not any(described.is_valid(value) for value in (["fax"], "email", {"fax": 1}))


def test_the_key_is_read_from_where_the_recipe_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    by_name = MaskConfig.model_validate({"mode": "pseudonym", "key_env": "SOME_KEY"})
    monkeypatch.delenv("SOME_KEY", raising=False)
    with pytest.raises(UserError, match="SOME_KEY.*is not set"):
        read_key(by_name)
    monkeypatch.setenv("SOME_KEY", "short")
    with pytest.raises(UserError, match="5 bytes; pseudonyms need 16 or more"):
        read_key(by_name)
    monkeypatch.setenv("SOME_KEY", KEY.decode())
    assert read_key(by_name) == KEY
    by_file = MaskConfig.model_validate({"mode": "pseudonym", "key_file": str(tmp_path / "key")})
    with pytest.raises(UserError, match="cannot be read: No such file"):
        read_key(by_file)
    (tmp_path / "key").write_bytes(KEY + b"\n")
    assert read_key(by_file) == KEY
    assert read_key(MaskConfig()) is None
    with pytest.raises(UserError, match="need a secret key"):
        Masker(by_name)


def test_another_key_is_another_fingerprint_that_does_not_hold_it(monkeypatch: pytest.MonkeyPatch) -> None:
    config = MaskConfig(mode="pseudonym", key_env="DANLU_TEST_KEY")
    marks = []
    for key in ("first secret of many letters", "second secret of many letters"):
        monkeypatch.setenv("DANLU_TEST_KEY", key)
        marks.append(plain(config))
        assert key not in json.dumps(marks[-1])
    monkeypatch.delenv("DANLU_TEST_KEY")
    assert marks[0] != marks[1]
    assert SECRET not in plain(config), "a missing key is told when the texts are masked"
    assert SECRET not in plain(MaskConfig())


def test_a_near_miss_that_stays_covers_no_value_that_goes() -> None:
    section = {
        "kinds": ["bank_card"],
        "near_misses": "keep",
        "patterns": [{"name": "order", "regex": "(?<![0-9])62[0-9]{14}(?![0-9])"}],
    }
    masked = masker(**section).mask_parts(("卡号6222020200112233，卡号6222020200112234567",))
    assert masked.parts == ("卡号[ORDER]，卡号6222020200112234567",)
    assert [miss.kind for miss in masked.near_misses] == ["bank_card"]


def test_keycaps_go_whole_over_turns() -> None:
    masker = Masker(MaskConfig())
    said = ("我的1️⃣3️⃣8️⃣", "好的", "0️⃣0️⃣1️⃣3️⃣8️⃣0️⃣0️⃣0️⃣谢谢")
    assert masker.mask_parts(said).parts == ("我的[PHONE]", "好的", "[PHONE]谢谢")
