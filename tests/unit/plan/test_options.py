"""The table of options and the sentences about it, from traces that are made up; the catalogue and a user's prices."""

from __future__ import annotations

import dataclasses
import re
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from ruamel.yaml import YAML

from danlu.core.errors import UserError
from danlu.plan import predict
from danlu.plan.advice import answer, duration, money
from danlu.plan.catalogue import CATALOGUE, Gpu, Price, find, read_catalogue
from danlu.plan.interval import Interval
from danlu.plan.options import MEMORY_SPREAD, Variant, choose, rows, variants_of

GB = 1_000_000_000


def piece(*, state: float, kept: float, flops: float, trainable: int = 1_000) -> dict[str, Any]:
    parts = {"weights": state / 4, "gradients": state / 4, "optimizer": state / 2, "activations": kept, "temporary": 0}
    return {
        "total": sum(parts.values()),
        "parts": parts,
        "tally": {"flops": {"bfloat16": flops}, "bytes": 1e9, "calls": 1_000},
        "trainable": trainable,
        "layers": 10,
        "linear_bytes": 0.9 * state / 4,
    }


def variant(method: str, *, state: float, kept: float, checkpointing: bool = False) -> Variant:
    """A method whose 16 examples keep `kept` bytes, and one of them a sixteenth."""
    slower = 4 / 3 if checkpointing else 1.0
    return Variant(
        method=method,
        checkpointing=checkpointing,
        many=piece(state=state, kept=kept, flops=1e13 * slower),
        one=piece(state=state, kept=kept / 16, flops=1e13 * slower / 16),
        update={"flops": {}, "bytes": 7 * state, "calls": 10},
    )


def gpu(name: str, memory: float, *prices: float) -> Gpu:
    offers = tuple(
        Price(provider="X", kind="on-demand", source="", date="2026-11-01", confidence="high", usd=usd)
        for usd in prices
    )
    return Gpu(
        name=name, memory=memory * GB, bandwidth=1e12, peak=2e14, watts=400, facts="", confidence="high", prices=offers
    )


def table(*variants: Variant, gpus: list[Gpu]) -> list[dict[str, Any]]:
    return rows(
        variants,
        gpus,
        batch=16,
        steps=1_000,
        share=1.0,
        others=Interval(value=60.0, low=30.0, high=120.0),
        cny_per_usd=7.0,
        chosen=("full", False, 16),
    )


def test_the_largest_micro_batch_that_fits_is_taken_and_marked_where_it_was_not_traced() -> None:
    found = table(variant("full", state=8 * GB, kept=16 * GB), gpus=[gpu("small", 24, 1.0), gpu("large", 80, 4.0)])
    small, large = (
        next(row for row in found if row["gpu"] == name and row["count"] == 1) for name in ("small", "large")
    )
    assert (small["micro_batch"], small["interpolated"], small["changes"]) == (8, True, ["train.micro_batch: 8"])
    assert (large["micro_batch"], large["interpolated"], large["changes"]) == (16, False, [])
    assert small["memory_bytes"]["high"] <= small["capacity_bytes"]


def test_what_fits_does_so_by_its_upper_bound_as_in_the_first_table() -> None:
    """8.5 GB of model, an example of 1 GB and 1 GB beside: about 11 of 12 GB, which may come out as 13.8."""
    found = table(variant("full", state=8.5 * GB, kept=16 * GB), gpus=[gpu("tight", 12, 1.0), gpu("roomy", 14, 1.0)])
    tight, roomy = (next(row for row in found if row["gpu"] == name) for name in ("tight", "roomy"))
    assert tight["memory_bytes"]["value"] < tight["capacity_bytes"] < tight["memory_bytes"]["high"]
    assert not tight["fits"]
    assert "may lack 1." in tight["why"]
    assert roomy["fits"]
    assert roomy["memory_bytes"]["high"] <= roomy["capacity_bytes"]
    assert MEMORY_SPREAD == predict.MEMORY_SPREAD


def test_a_state_that_one_cannot_hold_is_spread_and_what_does_not_fit_says_what_it_lacks() -> None:
    found = table(variant("full", state=60 * GB, kept=1 * GB), gpus=[gpu("small", 24, 1.0)])
    one, *_, eight = found
    assert not one["fits"]
    assert "lacks 4" in one["why"]
    assert eight["fits"]
    assert eight["sharded"]
    assert "8 accelerators" in eight["changes"]
    [told] = answer(found, method="full", deadline=None, budget=None, cny_per_usd=7.0)
    assert "would hold it, but needs FSDP" in told


def test_more_of_them_are_quicker_and_dearer() -> None:
    found = table(variant("full", state=1 * GB, kept=1 * GB), gpus=[gpu("small", 24, 1.0)])
    seconds, usd = ([row[key] for row in found] for key in ("seconds", "usd"))
    assert [row["value"] for row in seconds] == sorted((row["value"] for row in seconds), reverse=True)
    assert usd == sorted(usd)


def test_four_bits_shrink_what_is_frozen_alone() -> None:
    told = dataclasses.asdict(variant("lora", state=8 * GB, kept=GB))
    lora, qlora = variants_of([told])
    saved = lora.many["parts"]["weights"] - qlora.many["parts"]["weights"]
    assert saved == pytest.approx(0.9 * 2 * GB * (1 - 4.127 / 32))
    assert qlora.many["parts"]["optimizer"] == lora.many["parts"]["optimizer"]


def test_cheapest_and_fastest_and_what_would_be_possible() -> None:
    gpus = [gpu("slow", 80, 1.0), dataclasses.replace(gpu("quick", 80, 9.0), peak=2e15), gpu("free", 80)]
    found = table(variant("full", state=GB, kept=GB), gpus=gpus)
    picked = choose(found, method="full")
    assert picked["cheapest"]["gpu"] == "slow"
    assert picked["fastest"]["gpu"] == "quick"
    told = answer(found, method="full", deadline=1e6, budget=1e6, cny_per_usd=7.0)
    assert "Cheapest within" in told[0]
    assert "slow" in told[0]
    assert "Fastest for" in told[1]
    [late, poor] = answer(found, method="full", deadline=1.0, budget=1e-4, cny_per_usd=7.0)
    assert "Nothing is done within 1 s. The fastest takes" in late
    assert "is not enough. The cheapest costs" in poor
    [unpriced] = answer(
        [row for row in found if row["gpu"] == "free"], method="full", deadline=None, budget=1.0, cny_per_usd=7.0
    )
    assert "plan.prices" in unpriced


def test_where_nothing_fits_the_smallest_change_is_named() -> None:
    found = table(
        variant("full", state=900 * GB, kept=GB), variant("lora", state=8 * GB, kept=GB), gpus=[gpu("small", 24, 1.0)]
    )
    [told] = answer(found, method="full", deadline=None, budget=None, cny_per_usd=7.0)
    assert "The smallest change that would: train.method.kind: lora" in told
    full = [row for row in found if row["method"] == "full"]
    [told] = answer(full, method="full", deadline=None, budget=None, cny_per_usd=7.0)
    assert "smaller model" in told


@pytest.mark.parametrize(
    ("text", "usd"), [("200cny", 20.0), ("¥200", 20.0), ("30 USD", 30.0), ("$30", 30.0), ("100元", 10.0)]
)
def test_money_has_a_currency(text: str, usd: float) -> None:
    assert money(text, 10.0) == usd


def test_questions_that_cannot_be_read_say_what_was_expected() -> None:
    assert [duration(text) for text in ("6h", "90m", "2d")] == [21_600.0, 5_400.0, 172_800.0]
    for text in ("200", "many yuan", "200 eur"):
        with pytest.raises(UserError, match="200cny"):
            money(text, 7.0)
    for text in ("6", "soon", "0h"):
        with pytest.raises(UserError, match="6h"):
            duration(text)


def test_own_prices_stand_in_place_of_the_catalogues(tmp_path: Path) -> None:
    own = tmp_path / "prices.yaml"
    own.write_text("RTX 4090: {cny: 2.0, provider: AutoDL, date: 2026-11-20}\nA10: 0.5\n", encoding="utf-8")
    known = {gpu.name: gpu for gpu in read_catalogue(own=own)}
    [price] = known["NVIDIA GeForce RTX 4090"].prices
    assert (price.provider, price.in_usd(8.0)) == ("AutoDL", 0.25)
    assert known["NVIDIA A10"].prices[0].usd == 0.5
    assert len(known["NVIDIA H100 80GB SXM"].prices) > 1


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("H10: 2", "may mean|nearest"),
        ("RTX 4099: 2", "RTX 4090"),
        ("A10: cheap", "cheap"),
        ("A10: {usd: 1, cny: 7}", "A10"),
        ("A10: {usd: 1, per: week}", "per"),
        ("- 3", "names no accelerator"),
        ("A10: [", "cannot be read"),
    ],
)
def test_a_price_file_that_cannot_be_used_says_why(tmp_path: Path, content: str, why: str) -> None:
    own = tmp_path / "prices.yaml"
    own.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=why):
        read_catalogue(own=own)


def test_an_accelerator_is_found_by_a_part_of_its_name() -> None:
    known = read_catalogue()
    assert find(known, "mi300x", where="here").name == "AMD Instinct MI300X"
    with pytest.raises(UserError, match="Ascend 910B"):
        find(known, "Ascend 910C", where="here")


def test_every_figure_of_the_catalogue_has_an_address_and_a_day() -> None:
    document = YAML(typ="safe", pure=True).load(CATALOGUE.read_text(encoding="utf-8"))
    date.fromisoformat(str(document["read"]))
    #: How many parts the path of a page has at least, where fewer are a person or a whole repository.
    deep = {"gist.github.com": 2, "github.com": 3, "raw.githubusercontent.com": 3}
    for row in document["gpus"]:
        for told in (row["facts"], *row.get("prices", ())):
            addresses = [urlsplit(found) for found in re.findall(r"https?://[^\s;,()]+", told["source"])]
            assert addresses, (row["name"], told)
            for address in addresses:
                parts = [part for part in address.path.split("/") if part]
                assert len(parts) >= deep.get(address.netloc, 1), (row["name"], address.geturl())
            if ", read by " in told["source"]:
                assert told["confidence"] != "high", (row["name"], told)
        for price in row.get("prices", ()):
            assert date.fromisoformat(str(price["date"])) <= date.fromisoformat(str(document["read"]))
