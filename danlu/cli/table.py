"""Every command in one table: where it lives, its one line of help, an example; in the order a newcomer meets them.

`danlu --help` is drawn from this table alone, so that it imports no command.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One command. `target` is "module:attribute" of the Click command; `example` is a line that works."""

    target: str
    help: str
    example: str


#: road -> name -> command
ROADS: dict[str, dict[str, Entry]] = {
    "From your file to a verdict": {
        "init": Entry(
            target="danlu.cli.init:init",
            help="Look at a data file and write a recipe for it.",
            example="danlu init reviews.xlsx",
        ),
        "plan": Entry(
            target="danlu.cli.plan:plan",
            help="Say what a run needs: memory, time, money, CO2.",
            example="danlu plan recipe.yaml",
        ),
        "run": Entry(
            target="danlu.cli.run:run",
            help="Walk the whole road: data, train, compress, evaluate, release.",
            example="danlu run recipe.yaml",
        ),
    },
    "Look at what came out": {
        "show": Entry(
            target="danlu.cli.show:show",
            help="Show a run: the verdict, the evidence, the report.",
            example="danlu show sentiment-en --open",
        ),
        "list": Entry(
            target="danlu.cli.listing:listing",
            help="List the runs and releases of a workspace.",
            example="danlu list",
        ),
        "predict": Entry(
            target="danlu.cli.predict:predict",
            help="Ask a released model about some texts.",
            example='danlu predict sentiment-en "what a lovely day"',
        ),
        "compare": Entry(
            target="danlu.cli.compare:compare",
            help="Compare releases, endpoints and files of answers on the same rows.",
            example="danlu compare reviews@2 reviews@1 answers.csv --on reviews",
        ),
    },
    "Know your data": {
        "data": Entry(
            target="danlu.cli.data:data",
            help="Show a corpus, compare two, find a person, trace a row to its file.",
            example="danlu data card reviews-zh --open",
        ),
    },
    "Better labels": {
        "label": Entry(
            target="danlu.cli.label:label",
            help="Hand suspect rows to people, and take their labels back.",
            example="danlu label export reviews-zh --out labels.xlsx",
        ),
    },
    "Go live": {
        "serve": Entry(
            target="danlu.cli.serve:serve",
            help="Serve a released model over HTTP.",
            example="danlu serve sentiment-en --port 8000",
        ),
        "promote": Entry(
            target="danlu.cli.promote:promote",
            help="Make a version the champion, the one that is served.",
            example="danlu promote sentiment-en 2",
        ),
        "rollback": Entry(
            target="danlu.cli.promote:rollback",
            help="Make the champion before this one the champion again.",
            example="danlu rollback sentiment-en",
        ),
    },
    "Show others": {
        "track": Entry(
            target="danlu.cli.track:track",
            help="Tell MLflow of every run and release.",
            example="danlu track sentiment-en --uri sqlite:///mlflow.db",
        ),
    },
    "Help yourself": {
        "recipe": Entry(
            target="danlu.cli.recipe:recipe",
            help="Check a recipe, or print its schema and reference.",
            example="danlu recipe check recipe.yaml",
        ),
        "doctor": Entry(
            target="danlu.cli.doctor:doctor",
            help="Check this machine and say what to do about each problem.",
            example="danlu doctor",
        ),
        "completion": Entry(
            target="danlu.cli.completion:completion",
            help="Print the script that lets your shell complete danlu.",
            example='eval "$(danlu completion bash)"',
        ),
    },
}

COMMANDS: dict[str, Entry] = {name: entry for road in ROADS.values() for name, entry in road.items()}

#: What the process returns, for scripts; drawn in the CLI page.
EXIT_CODES: dict[int, str] = {
    0: "Done. For `danlu run`: the release passed its gates, or the run stopped where `--until` said.",
    1: "A bug, or a stage whose process died. The message says where the details are.",
    2: "A mistake that you can mend: the recipe, a file, a column, a model folder, a library, the command line.",
    3: "Refused: a release gate failed. An honest end, not a crash; the report says why.",
    4: "A cap of the recipe's budget was reached. The work is saved; the same command continues.",
    130: "Ctrl-C. The work is saved; the same command continues.",
    141: "The reader of the output went away (a closed pipe).",
}
