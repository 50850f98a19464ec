"""HTML in, its words out: blocks become lines, scripts and styles go."""

from __future__ import annotations

import re

from danlu.core.lazy import need

#: Elements that stand on lines of their own, and those that stand apart from their neighbours, as the section on
#: rendering of the HTML standard sets them.
_LINES = "address,caption,dd,details,div,dt,fieldset,figcaption,footer,form,header,li,main,nav,summary,tr"
_APART = "article,aside,blockquote,dl,figure,h1,h2,h3,h4,h5,h6,hr,ol,p,pre,section,table,ul"
_INLINE = (
    "a,abbr,acronym,b,big,body,br,button,center,cite,code,del,em,font,head,html,i,iframe,img,input,ins,kbd,label,link,"
    "mark,meta,noscript,option,q,s,samp,script,select,small,span,strike,strong,style,sub,sup,svg,tbody,td,textarea,"
    "tfoot,th,thead,title,u,var,video"
)
_DROPPED = "script,style,noscript,template,svg,iframe,head > title"

_NAMES = f"{_LINES},{_APART},{_INLINE}".replace(",", "|")
#: A tag with a known name, as HTML writes it: `<br/>`, `</p>`, `<a href=...>`. `x < y` and `<3` are none.
HTML_TAG = re.compile(rf"</?(?:{_NAMES})(?:\s[^<>]*)?/?>", re.IGNORECASE)
_LAID_OUT = re.compile(r"<(?:p|div|table|ul|ol|body|html|section|article)[\s>]", re.IGNORECASE)
_KEEPS_SPACE = re.compile(r"<(?:pre|textarea)[\s>]", re.IGNORECASE)
_WHITE_SPACE = re.compile(r"\s+")
#: Where a block begins or ends, until the space around it is known.
_LINE, _GAP = "\x0b", "\x0c"
#: From the first of some spaces on, so that a long run of them is gone through once.
_EDGE = re.compile(rf"(?<![ \n])[ \n]*[{_LINE}{_GAP}][ \n{_LINE}{_GAP}]*")

#: Text with fenced code is written in Markdown; tags in it are what it is about.
_FENCE = "```"


def without_tags(text: str, *, every: bool = False) -> str:
    """`text` without its tags, comments, scripts and styles; entities become characters.

    Blocks become lines (`li`, `div`, `tr`) or paragraphs (`p`, `h1`, `table`). Where the page is laid out by tags,
    line feeds in its source are spaces, as a browser shows them. With `every`, tags with unknown names go as well and
    fenced code is not spared; without it, a text with fenced code comes back as it is. Raises `MissingDependency`
    without selectolax.
    """
    if not every and _FENCE in text:
        return text
    if _LAID_OUT.search(text) and not _KEEPS_SPACE.search(text):
        text = _WHITE_SPACE.sub(" ", text)
    # A stray `<`, as in `x < y`, is text for a browser too.
    tree = need("selectolax.lexbor", extra="data").LexborHTMLParser(text)
    for node in tree.css(_DROPPED):
        node.decompose()
    for names, edge in ((_LINES, _LINE), (_APART, _GAP)):
        for block in tree.css(names):
            block.insert_before(edge)
            block.insert_after(edge)
    for line_break in tree.css("br"):
        line_break.insert_after("\n")
    for cell in tree.css("td,th"):
        cell.insert_after(" ")
    words: str = tree.root.text() if tree.root is not None else ""
    return _EDGE.sub(lambda match: "\n\n" if _GAP in match[0] else "\n", words)
