"""A name for a model, from the name of its data file; people type it."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

#: Longest name proposed, in characters.
_LONGEST_NAME = 24

_HAN = re.compile("[\u4e00-\u9fff]")

#: What Chinese files of texts are mostly called, in English; longer words first. Words that tell nothing are empty.
_ENGLISH: dict[str, str] = {
    "微博": "weibo",
    "新闻": "news",
    "评论": "reviews",
    "评价": "reviews",
    "点评": "reviews",
    "反馈": "feedback",
    "留言": "messages",
    "消息": "messages",
    "短信": "messages",
    "投诉": "complaints",
    "工单": "tickets",
    "诉求": "requests",
    "咨询": "requests",
    "客服": "support",
    "问答": "questions",
    "问题": "questions",
    "对话": "chats",
    "聊天": "chats",
    "弹幕": "chats",
    "邮件": "mails",
    "文章": "articles",
    "标题": "titles",
    "病历": "records",
    "合同": "contracts",
    "法律": "law",
    "金融": "finance",
    "医疗": "medical",
    "教育": "education",
    "商品": "products",
    "产品": "products",
    "电商": "shop",
    "外卖": "delivery",
    "酒店": "hotel",
    "电影": "films",
    "用户": "user",
    "客户": "customer",
    "情感": "sentiment",
    "情绪": "emotion",
    "意图": "intent",
    "主题": "topic",
    "分类": "classes",
    "垃圾": "spam",
    "训练": "train",
    "测试": "test",
    "数据集": "",
    "数据": "",
    "语料": "",
    "文本": "",
    "样本": "",
    "标注": "",
    "文件": "",
    "表格": "",
    "导出": "",
    "年": "",
    "月": "",
    "日": "",
    "的": "",
}


def model_name(file: str, *, classify: bool) -> str:
    """A short name for the model, always the same for the same file name.

    The first words of the file's name, whole ones where that is possible. A Chinese name gives the English of the
    words that data files are mostly called by; where a part of it has no such word, a check sum of the name is added,
    so that two files do not give one model.
    """
    stem = Path(file).stem.lower()
    words = re.findall("[a-z0-9]+", stem)
    if not any(word.isalpha() for word in words) and _HAN.search(stem):
        return _name_from_chinese(stem, classify)
    plain = "-".join(words)
    if len(plain) > _LONGEST_NAME:
        cut = plain[: _LONGEST_NAME + 1]
        plain = cut.rpartition("-")[0] or cut[:_LONGEST_NAME]
    return plain or "my-model"


def _name_from_chinese(stem: str, classify: bool) -> str:
    words, rest = [], stem
    for part in re.findall("|".join((*_ENGLISH, "[a-z0-9]+")), stem):
        words.append(_ENGLISH.get(part, part))
        rest = rest.replace(part, " ", 1)
    words = [word for word in dict.fromkeys(words) if word][:3]
    if not any(word.isalpha() for word in words):
        words.append("classifier" if classify else "texts")
    if _HAN.search(rest):
        words.append(hashlib.blake2b(stem.encode("utf-8"), digest_size=2).hexdigest())
    return "-".join(words)
