"""The style of the data card: light and dark, wide and narrow, and the switch between its two languages."""

from __future__ import annotations

STYLE = """\
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --card: #fff; --ink: #16191d; --muted: #5c6570; --line: #dfe3e8; --soft: #eef2fb;
  --accent: #2a63d6; --second: #c2620a; --third: #7a5fc0; --warn: #fff6e3; --warn-line: #e9b44c;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #101317; --card: #181c22; --ink: #e8ebef; --muted: #9aa4b1; --line: #2d343d; --soft: #1d2532;
    --accent: #7aa5ff; --second: #f0a150; --third: #b39bf0; --warn: #2a2416; --warn-line: #8f6d22;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--page); color: var(--ink); font-size: 16px; line-height: 1.55; overflow-wrap: anywhere;
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "PingFang SC", "Hiragino Sans GB",
    "Microsoft YaHei", "Noto Sans CJK SC", "Noto Sans SC", sans-serif;
}
/* The switch: one of two radio buttons is on, and hides the words of the other language. */
.lang { position: absolute; opacity: 0; }
#lang-en:checked ~ main .zh, #lang-zh:checked ~ main .en { display: none; }
.switch { float: right; display: flex; border: 1px solid var(--line); border-radius: 999px; overflow: hidden; }
.switch label { padding: 2px 12px; font-size: 0.85rem; cursor: pointer; color: var(--muted); }
#lang-en:checked ~ main label[for=lang-en], #lang-zh:checked ~ main label[for=lang-zh] {
  background: var(--accent); color: var(--card);
}
.lang:focus-visible ~ main .switch { outline: 2px solid var(--accent); outline-offset: 2px; }
main { max-width: 1060px; margin: 0 auto; padding: 24px 16px 48px; }
h1 { font-size: 1rem; margin: 0; font-weight: 600; color: var(--muted); }
h2 { font-size: 1.15rem; margin: 0 0 8px; line-height: 1.3; }
h3 { font-size: 0.95rem; margin: 14px 0 4px; }
p { margin: 0 0 12px; }
p:last-child, .card > ul:last-child { margin-bottom: 0; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 20px; margin: 0 0 16px; }
.top { border-top: 6px solid var(--accent); }
.callout { background: var(--warn); border-color: var(--warn-line); border-left-width: 6px; }
.two { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 400px), 1fr)); gap: 16px;
  align-items: start; }
.two { margin: 0 0 16px; }
.two > .card { margin: 0; min-width: 0; }
.sentence { font-size: clamp(1.2rem, 2.6vw, 1.55rem); line-height: 1.4; font-weight: 600; margin: 14px 0 18px;
  text-wrap: pretty; }
.small { color: var(--muted); font-size: 0.9rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(140px, 1fr)); gap: 10px; }
.tile { background: var(--soft); border-radius: 10px; padding: 12px 14px; }
.tile b { display: block; font-size: 1.4rem; line-height: 1.2; font-variant-numeric: tabular-nums; }
.tile > span { display: block; font-size: 0.85rem; line-height: 1.35; margin-top: 2px; }
ul { margin: 0 0 12px; padding-left: 1.2em; }
ul.bars { list-style: none; padding: 0; font-size: 0.92rem; font-variant-numeric: tabular-nums; }
ul.bars li { display: grid; grid-template-columns: minmax(5em, 32%) 1fr minmax(4em, auto); gap: 2px 10px;
  align-items: center; margin: 0 0 5px; }
ul.bars svg { display: block; width: 100%; height: 14px; }
ul.bars .value { text-align: right; white-space: nowrap; }
ul.bars .why { grid-column: 2 / -1; color: var(--muted); font-size: 0.85rem; }
rect { fill: var(--accent); }
rect.track { fill: var(--soft); }
rect.train { fill: var(--accent); }
rect.validation { fill: var(--third); }
rect.test { fill: var(--second); }
rect.naive { fill: var(--warn-line); }
line { stroke: var(--ink); stroke-width: 2; }
.legend { display: flex; flex-wrap: wrap; gap: 2px 16px; font-size: 0.85rem; margin: 0 0 8px; }
.legend span.key { display: inline-flex; align-items: center; gap: 6px; }
.legend svg { width: 10px; height: 10px; }
.source { border-top: 1px solid var(--line); padding-top: 12px; margin-top: 12px; }
.source:first-of-type { border-top: 0; padding-top: 0; margin-top: 0; }
.source h3 { margin-top: 0; }
dl { display: grid; grid-template-columns: minmax(90px, 9em) 1fr; gap: 3px 16px; margin: 6px 0; font-size: 0.92rem; }
dt { color: var(--muted); }
dd { margin: 0; min-width: 0; }
table { border-collapse: collapse; width: 100%; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 5px 10px 5px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
tr:last-child td { border-bottom: 0; }
th { color: var(--muted); font-weight: 500; font-size: 0.85rem; }
th.n, td.n { text-align: right; white-space: nowrap; padding-right: 22px; }
code { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; font-size: 0.88em; }
footer { color: var(--muted); font-size: 0.85rem; padding: 8px 4px; }
@media (max-width: 640px) {
  main { padding: 12px 10px 32px; }
  .card { padding: 16px 14px; border-radius: 10px; }
  .tiles { grid-template-columns: 1fr 1fr; }
  dl { grid-template-columns: 1fr; gap: 0; }
  dd { margin: 0 0 6px; }
  table.stack thead { display: none; }
  table.stack tr { display: block; padding: 6px 0; border-bottom: 1px solid var(--line); }
  table.stack tr:last-child { border-bottom: 0; }
  table.stack td { display: flex; justify-content: space-between; gap: 16px; border: 0; padding: 1px 0;
    white-space: normal; }
  table.stack td .name { display: inline; color: var(--muted); }
  table.stack td.n { padding-right: 0; text-align: left; }
}
@media (min-width: 641px) { table.stack td .name { display: none; } }
@media print {
  :root { --page: #fff; --card: #fff; --ink: #000; --muted: #444; --line: #ccc; --soft: #f2f2f2; }
  .card { break-inside: avoid; border-radius: 0; }
  .switch { display: none; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""
