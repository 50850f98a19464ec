"""Postal addresses: a grammar of Chinese ones from the province down to the room, and English street addresses.

An address is found by what only addresses have, a numbered place (88号, 3栋2单元, "221B Baker Street"), and then grows
to both sides. A province or city by itself is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from danlu.data.mask.lexicons import CITIES, PROVINCES
from danlu.data.mask.spans import Span
from danlu.data.mask.view import View, holds

_NUMBER = r"(?:[0-9]{1,5}|[零〇一二三四五六七八九十百两]{1,5}|[甲乙丙丁A-Za-z])"
_HAN = "\u4e00-\u9fff"

#: What the name of a road, an estate or a village ends with, where a number may follow.
_WAY = (
    r"(?:大街|大道|小区|公馆|山庄|名邸|花园|公寓|大厦|广场|家园|新村|胡同|步行街|工业区"
    r"|工业园|科技园|产业园|开发区|路|街|道|巷|里|村|苑|园|城|庄|坊|寓|厦|湾|府"
    r"|庭|居|屯|镇|乡|院|段|线|区|县|桥|山|岛)"
)
#: A numbered unit of an address, from the house to the room.
_UNIT = (
    rf"(?:{_NUMBER}(?:[-—~之/]{_NUMBER})*(?:号楼|号院|号房|号(?!码|线|文|令|机|台|店员|选手|馆员)|弄|栋|幢|座|单元"
    rf"|室|楼(?!梯|下|上|市|盘|道|主|层)|层(?!次|面)|房(?!间|屋)|组(?!织|合)|支弄|巷|队|门(?!口|票|店))"
    rf"|[A-Za-z][座栋区]|[东西南北][座区单]元?)"
)
_ROOM = r"(?:[0-9]{1,2}[-—][0-9]{1,2}[-—][0-9]{3,4}|[0-9]{3,4}(?![0-9元块年个次人件条天度级米km斤分.:年月-]))"
#: A building of an estate, which needs no way before it: 翠湖花园3栋2单元.
_BUILDING = r"(?:[0-9]{1,3}|[一二三四五六七八九十]{1,3})(?:栋|幢|号楼|座)"
#: The core: a way with a numbered unit right behind it, or a building with a unit, and the units that follow; names of
#: estates may stand between.
_CORE = re.compile(
    rf"(?:{_WAY}(?:[ ]?[（(][{_HAN}0-9A-Za-z]{{1,12}}[）)])?[ ]?{_UNIT}|(?<=[{_HAN}]){_BUILDING}"
    rf"(?=[0-9一二三四五六七八九十]))"
    rf"(?:[ ，,]?(?:{_UNIT}|[{_HAN}]{{1,8}}?{_WAY}(?:{_UNIT}|(?=[0-9]))|[{_HAN}]{{2,8}}?(?={_BUILDING}[0-9])))*"
    rf"(?:[ ]?{_ROOM})?"
)
_IS_HOUSE = re.compile(
    r"[0-9零〇一二三四五六七八九十百甲乙丙丁A-Za-z](?:号|弄|栋|幢|座|单元|室|支弄|队|组)|[0-9]-[0-9]"
    r"|[A-Za-z东西南北][座区]"
)
#: An address without a house number: three levels of administration and a way.
_DIVIDED = re.compile(
    rf"(?:{'|'.join(sorted(PROVINCES + CITIES, key=len, reverse=True))})"
    rf"(?:壮族|回族|维吾尔)?(?:特别行政区|自治区|自治州|省|市|地区|盟)?"
)
_DIVISION = re.compile(rf"[{_HAN}]{{1,6}}?(?:自治县|自治旗|新区|区|县|旗|市|州|盟)")
_BEGINS_WITH_DIVISION = re.compile(rf"[{_HAN}]{{1,4}}?(?:省|市|自治区|区|县|旗|镇|乡|街道)")
_BEYOND = re.compile(
    rf"[{_HAN}]{{1,6}}?(?:街道|镇|乡|开发区|新区)|[{_HAN}A-Za-z0-9]{{1,8}}?(?:大街|大道|路|街|巷|胡同|小区|花园"
    rf"|新村|村|广场|大厦|苑)"
)

#: What may end right before an address; the name of a road is never that long.
_CUE = re.compile(
    r"(?:地址(?:是|在|为|写|填|改成|改为|改到|换成)?|住址(?:是|在|为)?|家住|住在|住|寄到|寄往|寄给|送到|送至|送往"
    r"|发到|发往|发货到|位于|坐落于|坐落在|座落于|搬到|搬至|搬去"
    r"|户籍(?:地|所在地)?(?:是|为)?|籍贯|现居|居住在|居住于|租住在|定位(?:是|在|到)?|我在|就在|开在|来到|前往|赶到"
    r"|抵达|去往|回到|从|到|在|去|至|于|是|为|给|往|自|由|叫|填|址|和|与|及|或|了|的|把|将|被|过|用|着|写|寄|送|发"
    r"|我家|他家|她家|公司|单位|学校"
    r"|离|距)"
)
#: Words before "路" or "街" that are no name of one: "这条路".
_NO_NAME = re.compile(r"(?:[这那哪该每某同整全本][条个座栋家片]?|[一两几各][条个座栋家片]|[0-9]+)$")
_STOPS = re.compile(r"[^0-9A-Za-z\u4e00-\u9fff·（）()-]")
_LEFT = 36
_NAME = 10
_HINT = re.compile(
    r"[路街道巷弄村园区苑厦庄城里坊寓湾府庭居楼屯镇乡院段线县桥山家岛场同馆邸][ ]?"
    r"[（(0-9A-Za-z零〇一二三四五六七八九十甲乙丙丁东西南北]"
    r"|[0-9](?:栋|幢|号楼|座)[0-9]"
)
_PLACE_SIGNS = re.compile("[省市]")


def find_chinese(view: View) -> Iterator[Span]:
    """Chinese addresses."""
    plain = view.plain
    done = 0
    if _HINT.search(plain):
        for core in _CORE.finditer(plain):
            if core.start() < done:
                continue
            if not _IS_HOUSE.search(core[0]):
                # "大厦一楼" is a place inside a house, not where it stands.
                continue
            start = _begin(plain, core.start(), done)
            if start is not None:
                done = core.end()
                yield _span(plain, start, core.end())
    if _PLACE_SIGNS.search(plain):
        yield from _without_number(plain)


def _span(plain: str, start: int, end: int) -> Span:
    return Span(start, end, "address", re.sub(r"\s", "", plain[start:end]))


def _begin(plain: str, core: int, after: int) -> int | None:
    """Where the address around a core starts, or None where what stands before it is no name of a place."""
    left = plain[max(after, core - _LEFT) : core]
    stops = [stop.end() for stop in _STOPS.finditer(left)]
    low = stops[-1] if stops else 0
    base = core - len(left)
    # From the outside in: a province or city that a division or a name follows without a stop.
    for place in _DIVIDED.finditer(left, low):
        return base + place.start()
    divisions = list(_BEGINS_WITH_DIVISION.finditer(left, low))
    cues = list(_CUE.finditer(left, low))
    if divisions:
        first = divisions[0]
        begin = max(
            (cue.end() for cue in cues if first.start() <= cue.start() < first.end() - 1), default=first.start()
        )
        return base + begin
    begin = max((cue.end() for cue in cues), default=low)
    name = len(left) - begin
    if name > _NAME or name == 0 or _NO_NAME.search(left, begin):
        # Nothing names the way: "这条路88号" has no name, and what is longer than a name is a sentence.
        return None
    return base + begin


def _without_number(plain: str) -> Iterator[Span]:
    """Province or city, division below it, and a street, an estate or a village."""
    for place in _DIVIDED.finditer(plain):
        end, levels = place.end(), 0
        while (match := _DIVISION.match(plain, end)) and levels < 3:
            end, levels = match.end(), levels + 1
        if levels and (match := _BEYOND.match(plain, end)):
            while beyond := _BEYOND.match(plain, match.end()):
                match = beyond
            yield _span(plain, place.start(), match.end())


_SUFFIX = (
    r"(?:Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Place|Pl|Square|Sq|Terrace|Ter"
    r"|Parkway|Pkwy|Highway|Hwy"
    r"|Circle|Cir|Way|Crescent|Cres|Close|Gardens|Grove|Mews|Row|Walk|Trail|Alley|Plaza|Broadway|Quay|Hill|Park"
    r"|View|Rise|Loop|Path)"
)
_UNIT_EN = r"(?:Apt|Apartment|Suite|Ste|Unit|Flat|Room|Rm|Floor|Fl|Building|Bldg|#)[.]?[ ]?#?[0-9A-Za-z-]{1,6}"
_STATES = (
    "AL|AK|AZ|AR|CA|CO|CT|DE|FL|GA|HI|ID|IL|IN|IA|KS|KY|LA|ME|MD|MA|MI|MN|MS|MO|MT|NE|NV|NH|NJ|NM|NY|NC|ND|OH|OK|OR"
    "|PA|RI|SC|SD|TN|TX|UT|VT"
    "|VA|WA|WV|WI|WY|DC|ON|QC|BC|AB|NSW|VIC|QLD"
)
_STREET = re.compile(
    rf"(?<![0-9A-Za-z$£€#.,/:-])(?:{_UNIT_EN},?[ ])?[0-9]{{1,5}}(?:-[0-9]{{1,5}})?[A-Za-z]?,?[ ]"
    rf"(?:(?:N|S|E|W|NE|NW|SE|SW|North|South|East|West)[.]?[ ])?"
    rf"(?:(?:[A-Z][A-Za-z'’.-]{{0,20}}|[0-9]{{1,3}}(?:st|nd|rd|th)|of|the|de|la)[ ]){{0,4}}?"
    rf"(?:(?:[A-Z][A-Za-z'’.-]{{1,20}}|[0-9]{{1,3}}(?:st|nd|rd|th))[ ]{_SUFFIX}\b"
    rf"(?:[ ]{_SUFFIX}\b)?|Broadway\b)[.]?(?:[ ](?:N|S|E|W|NE|NW|SE|SW|North|South|East|West)\b[.]?)?"
    rf"(?:,?[ ]{_UNIT_EN})?"
    # The rest of the line of an envelope: district, city, state and code, or a British postcode.
    rf"(?:,[ ]?(?!(?:{_STATES})\b)[A-Z][A-Za-z'’.-]+(?:(?:[ ][A-Z][A-Za-z'’.-]+){{0,2}}(?=,|[ ]"
    rf"(?:{_STATES})\b|[ ][A-Z]{{1,2}}[0-9]|[ ][0-9]{{5}}(?![0-9])|$)|(?=[\s.;)]))){{0,3}}"
    rf"(?:,?[ ]?(?:(?:{_STATES})\b(?:[ ,]{{1,2}}(?:[0-9]{{4,5}}(?:-[0-9]{{4}})?"
    rf"|[A-Z][0-9][A-Z][ ]?[0-9][A-Z][0-9]))?|[A-Z]{{1,2}}[0-9][0-9A-Z]?[ ]?[0-9][A-Z]{{2}}|[0-9]{{5}}"
    rf"(?:-[0-9]{{4}})?)\b)?"
)
_STREET_LOW = re.compile(
    r"(?<![0-9A-Za-z$£€#.,/:-])[0-9]{2,5}[a-z]?[ ](?!(?:and|or|of|the|to|for|in|on|at|per|way|more|other)\b)"
    r"(?:[a-z]{4,15}[ ]){1,2}"
    r"(?:street|avenue|road|boulevard|crescent|terrace)\b"
)
_BOX = re.compile(r"\b(?:P[.]?[ ]?O[.]?|Post Office)[ ]?Box[ ][0-9]{1,6}\b", re.IGNORECASE)
#: Cheap looks: a number and how a name may begin behind it, or one of the words that a name in small letters ends with.
_STREET_HINT = re.compile(r"[0-9][A-Za-z]?,?[ ](?:[A-Z0-9]|of |the |de |la )")
_STREET_WORDS = ("street", "avenue", "road", "boulevard", "crescent", "terrace")


def find_english(view: View) -> list[Span]:
    """English street addresses and post office boxes."""
    plain = view.plain
    patterns = []
    if _STREET_HINT.search(plain):
        patterns.append(_STREET)
    if holds(plain, _STREET_WORDS):
        patterns.append(_STREET_LOW)
    if "ox " in view.low:
        patterns.append(_BOX)
    return [
        Span(match.start(), match.end(), "address", " ".join(match[0].lower().split()))
        for pattern in patterns
        for match in pattern.finditer(plain)
    ]
