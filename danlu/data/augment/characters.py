"""Operations on characters: slips of the finger, homophones, look-alikes."""

from __future__ import annotations

from collections import defaultdict
from functools import lru_cache
from itertools import groupby
from random import Random
from typing import Any

from danlu.core.lazy import need
from danlu.data.augment.config import CharacterNoise, Homophone, LookAlike
from danlu.data.augment.pieces import Piece, join, pieces_of

_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
#: How far each row of a QWERTY keyboard stands to the right of the first, in keys.
_OFFSETS = (0.0, 0.25, 0.75)


def _neighbours() -> dict[str, str]:
    """The letters that touch each letter on a QWERTY keyboard."""
    places = {
        letter: (column + offset, row)
        for row, (letters, offset) in enumerate(zip(_ROWS, _OFFSETS, strict=True))
        for column, letter in enumerate(letters)
    }
    return {
        letter: "".join(
            other
            for other, (column, row) in places.items()
            if other != letter and abs(column - places[letter][0]) <= 1 and abs(row - places[letter][1]) <= 1
        )
        for letter in places
    }


NEIGHBOURS = _neighbours()

#: Han characters that readers and OCR take for one another: any two of a group look alike.
_LOOK_ALIKES = """
己已巳 未末 土士 日曰 人入八 大太犬 天夫 干千于 戊戌戍 免兔 王玉主 午牛 拔拨 崇祟 微徽
辨辩辫瓣 请清情晴睛 蓝篮 侯候 博搏 喝渴 换唤 折拆 仓仑 茶荼 暑署 幕墓慕暮 竟竞 买卖
历厉 刀力 甲由申田 目且 贝见 今令 小少 木本术 白百 乌鸟 酒洒 处外 代伐 住往 狠狼 哀衰
祖租组阻 栽裁载 侍待 冶治 即既 券卷 肓盲 赢羸 师帅 诲悔侮 孤狐弧 密蜜 抱饱泡炮跑
抄炒吵钞 挣睁净 底低抵 坏杯 快块 间问闷 爪瓜 元无 永水 万方 广厂 儿几 风凤 休体 名各
吴吞 很恨根跟 活话 第弟 钓钩 铃玲 拒距 晾凉 堵赌 渡度 副幅福 遣遗 捐损 撤撒 募幕 耍要
析折 杆杵 州洲 驰弛 陪部倍 操澡燥躁 侧测则 导异 订钉 仿访防 伴拌 怜冷 经轻 彩采 场扬汤
蒸燕 眠眼 拿拳 姜美 享亨 鸣呜 佳住 真直 贷货 贪贫 费贵 厘里 收攻 放故 数教 服报 板扳
仪议 优忧 借错 价介 便使 值植 停亭 像象 做故 全金 公分 兴光 冒昌 冲冷 准淮 加如 助肋
勿匆 区匹 升开 单早 厅听 友反 叮订 可司 台合 后启 吃吹 告吉 员质 味妹 品晶 哪那 唱喝
善羞 四西 团困 固因 围国 圆园
"""
LOOK_ALIKES = tuple(_LOOK_ALIKES.split())


@lru_cache(maxsize=1)
def _look_alike() -> dict[str, str]:
    others: dict[str, set[str]] = defaultdict(set)
    for group in LOOK_ALIKES:
        for sign in group:
            others[sign] |= set(group) - {sign}
    return {sign: "".join(sorted(group)) for sign, group in others.items()}


def _some(random: Random, places: list[int], share: float) -> list[int]:
    """At least one of the places, and about `share` of all, in order."""
    return sorted(random.sample(places, max(1, round(share * len(places))))) if places else []


def character_noise(text: str, random: Random, config: CharacterNoise, _ready: Any) -> str:
    """`text` with slips in its words; mask tokens, numbers and addresses stay."""
    signs = [
        Piece(sign, True, piece.is_han) if piece.is_word else Piece(sign, False)
        for piece in pieces_of(text, by_character=True)
        for sign in piece.text
    ]
    places = [place for place, sign in enumerate(signs) if sign.is_word and sign.text.isalpha()]
    # From the end, so that a slip does not move the places of those to come.
    for place in reversed(_some(random, places, config.share)):
        sign = signs[place]
        slips = [slip for slip in config.slips if slip != "neighbour" or sign.text.lower() in NEIGHBOURS]
        if slips:
            _SLIPS[random.choice(slips)](signs, place, random)
    return join(signs)


def _strike_neighbour(signs: list[Piece], place: int, random: Random) -> None:
    sign = signs[place].text
    other = random.choice(NEIGHBOURS[sign.lower()])
    signs[place].text = other.upper() if sign.isupper() else other


def _drop(signs: list[Piece], place: int, _random: Random) -> None:
    del signs[place]


def _duplicate(signs: list[Piece], place: int, _random: Random) -> None:
    signs.insert(place, Piece(signs[place].text, True, signs[place].is_han))


def _swap(signs: list[Piece], place: int, _random: Random) -> None:
    if place + 1 < len(signs) and signs[place + 1].is_word:
        signs[place], signs[place + 1] = signs[place + 1], signs[place]


_SLIPS = {"neighbour": _strike_neighbour, "drop": _drop, "duplicate": _duplicate, "swap": _swap}


def look_alike(text: str, random: Random, config: LookAlike, _ready: Any) -> str:
    """`text` with some Han characters replaced by others that look alike; unchanged where none has one."""
    others = _look_alike()
    candidates = {place: others[text[place]] for place in _han_places(text) if text[place] in others}
    return _replace(text, random, config.share, candidates)


def _han_places(text: str) -> list[int]:
    """Where the Han characters stand that may be changed."""
    places, place = [], 0
    for piece in pieces_of(text, by_character=True):
        if piece.is_han and piece.is_word:
            places.append(place)
        place += len(piece.text)
    return places


def _replace(text: str, random: Random, share: float, candidates: dict[int, str]) -> str:
    """`text` with a share of its Han characters replaced, at places that have candidates."""
    if not candidates:
        return text
    signs = list(text)
    count = min(len(candidates), max(1, round(share * len(_han_places(text)))))
    for place in random.sample(sorted(candidates), count):
        signs[place] = random.choice(candidates[place])
    return "".join(signs)


class Homophones:
    """Frequent Han characters by their sound, from pypinyin's dictionary."""

    def __init__(self, same_tone: bool) -> None:
        """Raises `MissingDependency` without pypinyin."""
        library = need("pypinyin", extra="chinese")
        self._style = library.Style.TONE3 if same_tone else library.Style.NORMAL
        self._read = library.lazy_pinyin
        self._of_sound: dict[str, str] = defaultdict(str)
        for sign in _frequent_han():
            self._of_sound[self._read(sign, style=self._style)[0]] += sign

    def candidates(self, text: str) -> dict[int, str]:
        """For places of `text` with a Han character, the frequent others of the sound it has there."""
        found: dict[int, str] = {}
        # Runs of Han are read as a whole: 行 has another sound in 银行 than in 行走.
        for _, run in groupby(enumerate(_han_places(text)), key=lambda numbered: numbered[1] - numbered[0]):
            places = [place for _, place in run]
            sounds = self._read(text[places[0] : places[-1] + 1], style=self._style)
            if len(sounds) == len(places):
                for place, sound in zip(places, sounds, strict=True):
                    if others := self._of_sound.get(sound, "").replace(text[place], ""):
                        found[place] = others
        return found


@lru_cache(maxsize=1)
def _frequent_han() -> str:
    """The 3,755 characters of level 1 of GB 2312-1980 (rows 16 to 55)."""
    return "".join(
        bytes((first, second)).decode("gb2312", "ignore") for first in range(0xB0, 0xD8) for second in range(0xA1, 0xFF)
    )


def homophone(text: str, random: Random, config: Homophone, ready: Homophones) -> str:
    """`text` with some Han characters replaced by frequent ones of the same sound; unchanged where none has one."""
    return _replace(text, random, config.share, ready.candidates(text))
