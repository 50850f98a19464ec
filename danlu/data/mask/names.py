"""Names of people, Chinese and English, by lexicon and by what stands around them.

Nothing but evidence is added up: a surname, signs that are frequent in given names, a word before that introduces a
person, a title or a verb of speech behind, and whether the name stands between the ends of words. No rule is sure;
`benchmarks/mask-*.md` says how often they are right.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from danlu.data.mask.lexicons import (
    AMBIGUOUS_GIVEN_NAMES,
    AMBIGUOUS_SURNAMES,
    COMPOUND_SURNAMES,
    CORE_GIVEN_SIGNS,
    FREQUENT_SURNAMES,
    GIVEN_NAMES,
    GIVEN_SIGNS,
    NO_NAMES,
    PINYIN_SURNAMES,
    SURNAMES,
    words,
)
from danlu.data.mask.spans import Span
from danlu.data.mask.view import View, holds

_ALL_SURNAMES = SURNAMES | AMBIGUOUS_SURNAMES
_COMPOUND = frozenset(COMPOUND_SURNAMES)
_CANDIDATE = re.compile(f"[{''.join(sorted(_ALL_SURNAMES | {name[0] for name in _COMPOUND}))}](?=[\u4e00-\u9fff])")

#: Words right before a name that introduce a person.
_INTRODUCES = re.compile(
    r"(?:我叫|他叫|她叫|名叫|叫做|叫|姓名|名字|真名|实名|本名|署名|我是|本人|这位|那位|一位|人是|人叫|者是|联系人"
    r"|收件人|收货人|寄件人|发件人|经手人|经办人|负责人|代表人|法人|委托人|代理人|被告人?|原告人?"
    r"|当事人|证人|监护人|受益人|投保人|被保险人|保险人|借款人|担保人|承租人|出租人|申请人|报案人|发言人|主持人"
    r"|候选人|患者|病人|客户|用户|顾客|会员|乘客|旅客|司机|车主|业主|房东|租客|户主|户名|持卡人|开户人"
    r"|学生|家长|员工|同事|同学|朋友|好友|老师|教授|博士|医生|医师|大夫|护士|律师|法官|警官|民警|记者|作者|编辑"
    r"|导演|演员|歌手|教练|队长|选手|队员|经理|总监|主管|主任|主席|总理|总统"
    r"|[部外省市县镇乡村局处科院校所会队团司厅组班站店]长|书记|委员长|理事长|董事长|秘书长|首相|国王|上将|中将|少将"
    r"|大使|英雄|烈士|模范|教师|画家|作曲家|科学家|专家|军官|战友|老板|助手|冠军|新秀|名将|总裁|总经理|司令员|委员"
    r"|代表|同志|战士|工程师|院士|先生|女士|小姐|丈夫|妻子|老公|老婆|爱人|儿子|女儿|父亲|母亲|爸爸|妈妈|哥哥|弟弟"
    r"|姐姐|妹妹|致|尊敬的|亲爱的|敬爱的|感谢|找|对接人|客服"
    r"|师傅|顾问|专员|助理|秘书|嘉宾|获奖者|签名|签字|签收|落款|抄送|转告|转交给?)(?:是|为|叫|名叫"
    r"|姓名)?[ 　:：,，\"“'「【(（]{0,3}$"
)
_INTRODUCES_FORMALLY = re.compile(
    r"(?:姓名|名字|名|人|者|户名|签名|签字|署名)(?:是|为)?[ ]?[:：][ ]?$|(?:我叫|名叫|名字叫|名字是)[ ]?$"
)
#: Titles that follow a name, whole or the surname alone.
_TITLE = re.compile(
    r"(?:先生|女士|小姐|太太|夫人|老师|师傅|经理|医生|大夫|医师|护士|律师|主任|教授|博士|阿姨|叔叔|大爷|大妈|奶奶"
    r"|爷爷|同学|同志|校长|院长|局长|处长|科长|所长|部长|主席|总理|总统|书记|省长|市长|县长"
    r"|董事长|总裁|总监|总经理|工程师|教练|警官|法官|检察官|记者|秘书|主管|队长|班长|导演|院士|会长|委员|老板|女儿"
    r"|儿子|总(?![是有在共的会要得之结体])|哥(?!哥)|姐(?!姐)|姨|叔|嫂|公子)"
)
#: Those that nothing but a person has.
_POLITE = re.compile(r"先生|女士|小姐|太太|老师|师傅|阿姨|叔叔|医生|经理")
_MOST_FREQUENT = frozenset(
    "王李张刘陈杨赵黄周吴徐孙胡朱郭何罗梁宋郑谢韩唐冯邓曹彭曾肖田董袁潘蔡蒋余杜叶魏苏吕丁沈姚卢姜崔钟谭陆汪范廖韦贾夏"
)
_SURNAME_SCORE = dict.fromkeys(SURNAMES, 1.0) | dict.fromkeys(_MOST_FREQUENT, 1.5)
#: Verbs that follow somebody who speaks or acts.
_ACTS = re.compile(
    r"(?:说|表示|介绍|告诉|认为|指出|回答|强调|透露|坦言|问|称|来电|致电|打来|反映|投诉|申请|要求|咨询|预约|购买"
    r"|下单|签|担任|出生|毕业|就职|主持|会见|出席|提出|宣布|率领|报道|摄|收$|你好|您好|已经?|刚|今年|女，|男，|，男"
    r"|，女|（男|（女|\(男|\(女)"
)
_EDGES = frozenset(
    "，。、；：！？,.;:!?\"“”‘’'（）()《》【】[]「」 　"
    "\n\x1f/|-—…·*的了在和与给跟是由向对让请把被叫及同为于等从去来到就也都还又说将有之以并不很时后前里上"
    "你我他她您它这那曾已能会要想该个们位名称问可才只再先因自办签收地着过做看"
)

#: Signs of everyday words, which end no given name that rules can be sure about.
_NO_LAST = frozenset("大小和家里上下会里女人中")
_LOWEST = 4.0
#: Signs that foreign names are written with (Xinhua's tables of transliteration).
_SOUNDS = (
    "阿埃艾爱安昂奥巴白班邦保鲍贝本比彼毕宾波伯勃博布查茨策达戴丹当道德登邓迪蒂丁东杜顿多厄恩尔伐法凡范菲费芬弗福富"
    "盖甘冈高戈格根贡古瓜圭哈海汉豪赫黑亨洪侯胡华怀惠霍基吉季加贾简杰捷金津久居卡凯坎康考柯科克肯"
    "孔库夸昆拉腊莱赖兰朗劳勒雷黎李里理丽利莉连廉列林琳刘留柳龙隆卢鲁路吕伦罗洛马玛迈麦曼芒毛梅门蒙孟米密敏明缪莫墨"
    "默姆木穆拿娜纳奈南内嫩能尼妮宁纽农努女诺欧帕派潘庞佩彭蓬皮匹平珀普齐奇恰钱强乔切钦琴青琼丘屈让热人仁日荣"
    "茹儒瑞若撒萨塞赛三桑瑟森沙莎山尚绍舍申生圣施诗什史士舒朔丝斯思松苏绥索塔太泰坦汤唐陶特腾提图土吐托陀娃瓦万汪旺"
    "威韦维魏温文翁沃乌武伍西希锡席夏香向肖歇谢欣辛兴雄休修许雪逊雅亚延扬杨仰尧耶叶伊易因英永尤于约云赞早泽曾增扎詹"
    "张珍"
    "芝治朱卓兹宗祖佐"
)
_TRANSLITERATED = re.compile(f"(?<![{_SOUNDS}·])[{_SOUNDS}]{{1,7}}(?:·[{_SOUNDS}]{{1,7}}){{1,3}}")


def find_chinese(view: View) -> Iterator[Span]:
    """Names of people in Chinese text: surname and given name, and surnames before a title."""
    plain = view.plain
    done = 0
    for match in _CANDIDATE.finditer(plain):
        start = match.start()
        if start < done:
            continue
        end = _chinese_end(plain, start)
        if end:
            done = end
            yield Span(start, end, "person", plain[start:end])


def _chinese_end(plain: str, start: int) -> int:
    """Where the best name that starts here ends; 0 where none is likely."""
    compound = plain[start : start + 2] in _COMPOUND
    if not compound and plain[start] not in _ALL_SURNAMES:
        return 0
    given = start + (2 if compound else 1)
    surname = 2.0 if compound else _SURNAME_SCORE.get(plain[start], 0.0)
    before = plain[max(0, start - 10) : start]
    introduced = _INTRODUCES.search(before) is not None
    left = 3.0 if introduced else 1.0 if not before or before[-1] in _EDGES else 0.0
    if surname and _TITLE.match(plain, given):
        # A surname alone is a name where a title follows: 王先生.
        return given if left or (plain[start] in _MOST_FREQUENT and _POLITE.match(plain, given)) else 0
    if plain[start : start + 2] in NO_NAMES and not (introduced and _INTRODUCES_FORMALLY.search(before)):
        return 0
    best, end = 0.0, 0
    for length in (2, 1):
        last = given + length
        signs = plain[given:last]
        if len(signs) < length or not signs.isalpha() or signs.isascii():
            continue
        right = _right_score(plain, last)
        if plain[last - 1] in _NO_LAST and not _TITLE.match(plain, last):
            continue
        score = surname + left + right + _signs_score(signs, introduced and right > 0)
        if introduced and score < _LOWEST and _is_formal(plain, before, signs, last):
            score = _LOWEST
        if score >= max(_LOWEST, best + 0.01):
            best, end = score, last
    return end


def _signs_score(signs: str, introduced: bool) -> float:
    """How much the signs look like a given name; any may be one where a person is introduced and a word ends behind."""
    score = 0.5 if len(signs) == 2 else 0.0
    for sign in signs:
        score += 1.0 if sign in CORE_GIVEN_SIGNS else 0.5 if sign in GIVEN_SIGNS else -0.5 if introduced else -3.0
    return score


def _right_score(plain: str, last: int) -> float:
    if _TITLE.match(plain, last):
        return 2.0
    if _ACTS.match(plain, last):
        return 1.5
    return 1.0 if last >= len(plain) or plain[last] in _EDGES else -0.5


def _is_formal(plain: str, before: str, signs: str, last: int) -> bool:
    """Whether this is the value of a field for a name, whatever signs it is made of: 姓名：王囡。"""
    whole = last >= len(plain) or not "\u4e00" <= plain[last] <= "\u9fff"
    return whole and all("\u4e00" <= sign <= "\u9fff" for sign in signs) and bool(_INTRODUCES_FORMALLY.search(before))


def find_transliterated(view: View) -> Iterator[Span]:
    """Foreign names in Chinese signs, which a middle dot gives away: 比尔·盖茨."""
    if "·" in view.plain:
        for match in _TRANSLITERATED.finditer(view.plain):
            yield Span(match.start(), match.end(), "person", match[0])


_WORD = r"[A-Z](?:['’][A-Z])?[a-zà-ÿ]+(?:[-]?[A-Z][a-zà-ÿ]+)*"
_CAPITAL = re.compile(_WORD)
_MORE = re.compile(
    r"(?: (?P<initial>[A-Z])[.]?(?= [A-Z]))?[ ](?:(?:van|von|de|der|den|la|del|bin|al)[ ]){0,2}(?P<word>"
    + _WORD
    + r")(?![A-Za-z0-9_])"
)
_TITLED = re.compile(
    r"\b(?P<title>Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Professor|Doctor|Sir|Madam|Captain|Capt|Judge|Officer|Nurse|Sgt|Lt|Rev"
    r"|Fr|Hon)[.]?[ ]"
    rf"(?:[A-Z][.][ ])?(?P<name>{_WORD})"
)
#: Titles that are also words of a sentence: "Judge Asks", in a headline, is nobody.
_WORDY_TITLES = frozenset({"Judge", "Officer", "Captain", "Doctor", "Professor", "Nurse", "Miss", "Fr", "Hon", "Lt"})
_INTRODUCES_EN = re.compile(
    r"(?:\bname(?:'s|’s| is|:| was| -| =|)[ ]?(?:is )?|\bI am |\bI'm |\bI’m |\bthis is |\bThis is |\bcalled "
    r"|\bnamed |\b[Dd]ear |\bHi |\bHello |\bHey |\bThanks,? |\bThank you,? |\bRegards,?\s|\bSincerely,?\s"
    r"|\bCheers,?\s|\bBest,?\s"
    r"|\b(?:patient|customer|client|tenant|employee|colleague|manager|nurse|attorney|lawyer|agent|teacher|student"
    r"|passenger|contact|recipient|sender|applicant|beneficiary|cardholder|policyholder|insured|witness|plaintiff"
    r"|defendant|attn|attention|signed|signed by|signature|cc|wife|husband|son|daughter|brother|sister|mother"
    r"|father|friend|boss|supervisor|representative|owner|author|by|met|meet|contacted|ask for|asked for|speak to"
    r"|speak with|spoke with|spoke to|talked to|talk to|call|from)[:,]? )$",
    re.IGNORECASE,
)
_ACTS_EN = re.compile(
    r"(?:'s\b|’s\b|,? (?:said|says|called|told|wrote|asked|replied|works|lives|lived|is|was|has|had|will|would|from"
    r"|who|and I|speaking|here|born|reported|requested|confirmed|signed|paid)\b)"
)
#: Words with a capital that are no surname: days, months, starts of sentences, companies, places.
_NO_SURNAME = frozenset(
    words(
        "monday tuesday wednesday thursday friday saturday sunday january february march april may june july "
        "august september october november "
        "december the a an and or but if in on at to for of with from by as is was are were be it this that these "
        "those he she they we you i my "
        "your his her our their its not no yes so then there here when where what who why how do does did can could "
        "will would should have has had "
        "please thanks thank hello hi dear sincerely regards street st road rd avenue ave lane drive court square park "
        "bank hospital university "
        "college school church airport station hotel city county state inc ltd llc corp company group office "
        "department team service services "
        "center centre store club press times news tv show day night morning evening america american england english "
        "france french german china "
        "chinese india indian japan japanese london paris york washington texas california florida chicago boston us "
        "usa uk eu order ticket "
        "phone email address account card passport number id invoice number just also however meanwhile today tomorrow "
        "yesterday after before "
        "during while because although since until unless iphone android facebook google twitter youtube amazon apple "
        "microsoft netflix"
    )
)


#: What a person is to somebody: whoever is named behind it with two words is one.
_ROLE = re.compile(
    r"\b(?:husband|wife|spouse|partner|son|daughter|brother|sister|mother|father|mom|dad|uncle|aunt|cousin|niece"
    r"|nephew|friend|neighbou?r|roommate"
    r"|physician|doctor|surgeon|dentist|therapist|nurse|patient|attorney|lawyer|solicitor|landlord|tenant|boss"
    r"|colleague|coworker|co-worker"
    r"|spoke (?:with|to)|talked (?:with|to)|speaking (?:with|to)|thanks(?: so much| again)? to|thank you"
    r"(?: so much)? to|signed by|payer is|payee is|payee:|payer:)"
    rf"(?:,| is|:)?[ ](?P<name>{_WORD})(?=[ ][A-Z][a-z'’])",
    re.IGNORECASE,
)
#: A cheap look before that: a part of each of its words.
_ROLE_HINTS = tuple(
    words(
        "spo band wife partner son daughter ther sister mom dad uncle aunt cousin nie neph friend ighb room "
        "physician doctor "
        "surgeon dentist therapist nurse patient attorney lawyer solicitor landlord tenant boss colleague coworker "
        "co-worker "
        "talked speaking thank signed paye"
    )
)
#: Surnames that are everyday words, so that what stands before them need not be a name.
_WORDY_SURNAMES = frozenset(
    words(
        "young king wright hill green brown white black wood long price bell rose west cook hall ward ford baker "
        "butler fisher carter cooper parker walker "
        "turner cox reed gray morgan jordan james scott martin thomas lee clark allen ross stewart cole marshall cruz "
        "moore barnes brooks bailey foster hayes "
        "powell perry russell howard hamilton graham wallace grant may khan ali taylor kim"
    )
)
#: What introduces a name so clearly that its words need not be known.
_FIELD = re.compile(
    rf"\b(?:[Nn]ame(?:['’]s| is|:| =| -)|NAME:|[Nn]amed|[Ss]igned by|Attn:?|ATTN:?|[Cc]ardholder:?|[Rr]ecipient:"
    rf"|[Cc]ontact:)[ ]"
    rf"(?P<name>{_WORD})"
)
_FIELD_WORDS = ("name", "signed by", "attn", "cardholder", "recipient", "contact")
_SURE_SURNAMES = FREQUENT_SURNAMES - _WORDY_SURNAMES - GIVEN_NAMES
_BEFORE = re.compile(rf"(?<![A-Za-z0-9_@#'’-])(?P<name>{_WORD})[ ](?:[A-Z][.]?[ ])?$")
#: Where a sentence starts, a capital says nothing.
_STARTS = re.compile(r"^$|[.!?:;\n\"“][ ]?$")
_FIRST = GIVEN_NAMES | PINYIN_SURNAMES | FREQUENT_SURNAMES


def find_english(view: View) -> Iterator[Span]:
    """Names of people in English text."""
    plain, low = view.plain, view.low
    done = 0
    for match in _CAPITAL.finditer(plain):
        word = match[0].lower()
        if word in _FIRST and match.start() >= done and (end := _english_end(plain, match.start(), match.end(), word)):
            done = end
            yield _person(plain, match.start(), end)
            continue
        before = _BEFORE.search(plain, max(done, match.start() - 24), match.start()) if word in _SURE_SURNAMES else None
        # A first word that no lexicon has, and a surname that is nothing else.
        if before and before["name"].lower() not in _NO_SURNAME and not _starts_sentence(plain, before.start()):
            done = match.end()
            yield _person(plain, before.start("name"), done)
    if holds(low, _ROLE_HINTS):
        for match in _ROLE.finditer(plain):
            end, words = _rest(plain, match.end())
            if words and match["name"][0].isupper() and match["name"].lower() not in _NO_SURNAME:
                yield _person(plain, match.start("name"), end)
    for match in _TITLED.finditer(plain):
        end, words = _rest(plain, match.end())
        known = any(word in _FIRST for word in (match["name"].lower(), *words))
        if known or match["title"] not in _WORDY_TITLES:
            yield _person(plain, match.start("name"), end)
    if holds(low, _FIELD_WORDS):
        for match in _FIELD.finditer(plain):
            if match["name"].lower() not in _NO_SURNAME:
                yield _person(plain, match.start("name"), _rest(plain, match.end())[0])
    if "name" in low or "i am " in low or "i'm " in low or "this is " in low:
        yield from _uncapitalised(plain)


def _starts_sentence(plain: str, place: int) -> bool:
    return _STARTS.search(plain[max(0, place - 2) : place]) is not None


def _person(plain: str, start: int, end: int) -> Span:
    return Span(start, end, "person", " ".join(plain[start:end].lower().split()))


def _english_end(plain: str, start: int, end: int, word: str) -> int:
    """Where the name that starts with this word of the lexicon ends; 0 where it starts none."""
    if start and (plain[start - 1].isalnum() or plain[start - 1] in "_@#-'’"):
        return 0
    given, pinyin = word in GIVEN_NAMES, word in PINYIN_SURNAMES
    before = plain[max(0, start - 24) : start]
    introduced = before[-1:] in (" ", "\n", ":", ",") and _INTRODUCES_EN.search(before) is not None
    last, surnames = _rest(plain, end)
    sure = given and word not in AMBIGUOUS_GIVEN_NAMES
    if surnames:
        # Two words: one of them must be known for a name, and the other must not speak against it.
        known = any(name in FREQUENT_SURNAMES or name in PINYIN_SURNAMES for name in surnames)
        if sure or (known and (given or introduced)) or (given and introduced):
            return last
        return last if pinyin and (introduced or _is_pinyin(surnames[-1])) else 0
    return end if given and (introduced or (sure and _ACTS_EN.match(plain, end))) else 0


_PINYIN = re.compile(
    r"(?:(?:zh|ch|sh|[bpmfdtnlgkhjqxrzcsyw])?(?:iang|iong|uang|ang|eng|ing|ong|ian|iao|uan|uai|an|en|in|un|ao|ou"
    r"|ei|ai|ui|iu|ia|ie|ua|uo|ue|a|o|e|i|u|v)[-']?){1,2}",
    re.I,
)


def _is_pinyin(word: str) -> bool:
    return _PINYIN.fullmatch(word) is not None


def _rest(plain: str, end: int) -> tuple[int, list[str]]:
    """Where the words that go on with a name end, and which they are; at most two."""
    words: list[str] = []
    while len(words) < 2 and (match := _MORE.match(plain, end)):
        word = match["word"].lower().replace("’", "'")
        if word in _NO_SURNAME or (words and word not in FREQUENT_SURNAMES and words[-1] not in GIVEN_NAMES):
            # A third word is part of a name only where it is known, or where the second is a second given name.
            break
        words.append(word)
        end = match.end()
    return end, words


_SAID = re.compile(
    r"\b(?:my (?:full )?name is|my name's|name:|i am|i'm|this is)[ ](?P<first>[a-z'-]{2,15})(?:[ ]"
    r"(?P<last>[a-z'-]{2,20}))?",
    re.IGNORECASE,
)


def _uncapitalised(plain: str) -> Iterator[Span]:
    """Names in a text without capitals, where somebody says their own."""
    for match in _SAID.finditer(plain):
        first, last = match["first"].lower(), (match["last"] or "").lower()
        named = "name" in match[0].lower()
        if first not in GIVEN_NAMES or (first in AMBIGUOUS_GIVEN_NAMES and not named):
            continue
        end = match.end("last") if last in FREQUENT_SURNAMES or last in PINYIN_SURNAMES else match.end("first")
        start = match.start("first")
        yield Span(start, end, "person", " ".join(plain[start:end].lower().split()))
