"""Every kind of personal data, as people write it; and what only looks like it."""

from __future__ import annotations

import pytest

from danlu.data.mask.config import MaskConfig
from danlu.data.mask.masker import Masker

EVERYTHING = Masker(MaskConfig.model_validate([*MaskConfig().kinds, "person"]))
RULES = Masker(MaskConfig.model_validate([kind for kind in MaskConfig().kinds if kind != "address"]))


def masked(text: str, masker: Masker = RULES) -> str:
    return masker.mask_parts((text,)).parts[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("证件 A123456(3)，或 AB987654(3)", "证件 [HONG_KONG_ID]，或 [HONG_KONG_ID]"),
        ("香港身份证号 A1234563", "香港身份证号 [HONG_KONG_ID]"),
        ("澳门居民身份证 1234567(8)", "澳门居民身份证 [MACAU_ID]"),
        ("my Macau BIR is 5/123456/7.", "my Macau BIR is [MACAU_ID]."),
        ("身分證字號A123456789", "身分證字號[TAIWAN_ID]"),
        ("resident certificate A800000014", "resident certificate [TAIWAN_ID]"),
        ("回乡证H12345678，回乡证 M1234567801", "回乡证[TRAVEL_PERMIT]，回乡证 [TRAVEL_PERMIT]"),
        ("台胞证号码：12345678", "台胞证号码：[TRAVEL_PERMIT]"),
        ("台胞证 1234567801(B)", "台胞证 [TRAVEL_PERMIT]"),
        ("护照E12345678，护照号 EB1234567", "护照[PASSPORT]，护照号 [PASSPORT]"),
        ("Passport No. 123456789 (US)", "Passport No. [PASSPORT] (US)"),
        ("passport number: K1234567", "passport number: [PASSPORT]"),
        ("IBAN DE89 3704 0044 0532 0130 00, GB82WEST12345698765432.", "IBAN [IBAN], [IBAN]."),
        ("税号91350100M000100Y43开票", "税号[CREDIT_CODE]开票"),
        ("统一社会信用代码：914403001922038216", "统一社会信用代码：[CREDIT_CODE]"),
        ("车牌京A·12345，粤BD12345，沪A0236挂", "车牌[PLATE]，[PLATE]，[PLATE]"),
        ("苏E·8X9K2 新能源 浙A12345D", "[PLATE] 新能源 [PLATE]"),
        ("加QQ：123456789，或qq号 54321", "加QQ：[QQ]，或qq号 [QQ]"),
        ("微信号是lily_2020，也可加v信 wxid-abc12", "微信号是[WECHAT]，也可加v信 [WECHAT]"),
        ("add me on WeChat: superlily", "add me on WeChat: [WECHAT]"),
        ("@JetBlue and @me: write to a.b@c.cn", "@JetBlue and @me: write to [EMAIL]"),
        ("from 8.8.8.8 and 2001:db8::8a2e:370:7334", "from [IP] and [IP]"),
        ("git clone https://bob:s3cret@example.com/x.git", "git clone https://[URL_CREDENTIALS]@example.com/x.git"),
        ("postgres://app:p:w@10.0.0.5/db", "postgres://[URL_CREDENTIALS]@[IP]/db"),
        ("AKIAIOSFODNN7EXAMPLE", "[SECRET]"),
        ("export GH=ghp_16C7e42F292c6912E7710c838347Ae178B4a", "export GH=[SECRET]"),
        ("api_key=4f9a8c77De21bb03Aa19", "api_key=[SECRET]"),
        ("密码是Hunter2!，别告诉别人", "密码是[SECRET]，别告诉别人"),
        ("The password is correct-horse7.", "The password is [SECRET]."),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\n好", "[SECRET]\n好"),
        ("我的号码是幺三八零零幺三八零零零", "我的号码是[PHONE]"),
        ("一三八，零零一三，八零零零", "[PHONE]"),
        ("一三九三个零一二三四五六七八。", "一三九三个零一二三四五六七八。"),
        ("幺三九三个零一二三四五", "[PHONE]"),
        ("it's one three eight, double zero one three, eight triple zero", "it's [PHONE]"),
        ("call four one five, five five five, two six seven one", "call [PHONE]"),
        ("身份证幺幺零幺零五幺九四九幺二三幺零零二X", "身份证[CHINA_ID]"),
        ("身份证号 1101 0519 4912\n3100 2X", "身份证号 [CHINA_ID]"),
        ("打62345678找我", "打62345678找我"),
        ("家里电话62345678", "家里电话[PHONE]"),
    ],
)
def test_every_kind(text: str, expected: str) -> None:
    assert masked(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "版本 1.2.3.4 与 version 10.0.19041.1, localhost 127.0.0.1, std::ab::cd",
        "会议 12:34:56，比分 3:2:1",
        "型号 A1234563，部件 B123456",
        "order A123456789",
        "sku: 91350100M000100Y43",
        "WeChat payments are great, wechat is amazing",
        "QQ音乐 QQ群里 2024年",
        "the password is required; 密码是6位数字",
        "token: tokenizer_for_chinese_text",
        "一二三四五六七，上山打老虎",
        "二零二四年一月，三八节",
        "one two three four",
        "新A股上市，沪A600519",
        "价格1234567元",
        "see note 1234567(8)",
    ],
)
def test_what_only_looks_like_it(text: str) -> None:
    assert masked(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("寄到浙江省杭州市西湖区文三路88号3栋2单元501室，谢谢", "寄到[ADDRESS]，谢谢"),
        ("我住在朝阳区建国路甲92号院5号楼1203", "我住在[ADDRESS]"),
        ("地址：上海市浦东新区张江高科技园区碧波路690号", "地址：[ADDRESS]"),
        ("公司在中关村大街27号，周一见", "公司在[ADDRESS]，周一见"),
        ("送到阳光花园12栋301室", "送到[ADDRESS]"),
        ("户籍地是四川省成都市武侯区桐梓林街道", "户籍地是[ADDRESS]"),
        ("ship to 221B Baker Street, London NW1 6XE please", "ship to [ADDRESS] please"),
        ("I live at 742 Evergreen Terrace, Springfield, IL 62704.", "I live at [ADDRESS]."),
        ("1600 Pennsylvania Ave NW, Washington, DC 20500", "[ADDRESS]"),
        ("Apt 4, 12 High St", "[ADDRESS]"),
        ("write to P.O. Box 1234", "write to [ADDRESS]"),
        ("WRITE TO P.O. BOX 1234", "WRITE TO [ADDRESS]"),
        ("我叫王小明，电话", "我叫[PERSON]，电话"),
        ("张伟和李秀英来了", "[PERSON]和[PERSON]来了"),
        ("欧阳建国先生", "[PERSON]先生"),
        ("请找王经理", "请找[PERSON]经理"),
        ("姓名：丁囡囡", "姓名：[PERSON]"),
        ("比尔·盖茨来过", "[PERSON]来过"),
        ("Dear John Smith,", "Dear [PERSON],"),
        ("Mrs. O'Brien called", "Mrs. [PERSON] called"),
        ("my name is maria garcia", "my name is [PERSON]"),
        ("Ask Zhang Wei or Sarah J. Connor.", "Ask [PERSON] or [PERSON]."),
    ],
)
def test_addresses_and_names(text: str, expected: str) -> None:
    assert masked(text, EVERYTHING) == expected


@pytest.mark.parametrize(
    "text",
    [
        "这条路88号才能走，第3号楼梯坏了",
        "今天高兴，王国里有黄金和石头",
        "房间很大，3楼的早餐不错，离地铁站很近",
        "在北京市和上海市都有店",
        "May the force be with you in New York",
        "I paid 30 dollars and 5 stars for the Drive",
        "质量不错，方便安全，常常买",
    ],
)
def test_no_name_and_no_address(text: str) -> None:
    assert masked(text, EVERYTHING) == text
