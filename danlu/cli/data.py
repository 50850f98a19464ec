"""`danlu data`: what a corpus holds, what changed between two, where a person is, where a row comes from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from danlu.cli.output import complete_names, console, json_option, print_json, workspace_option
from danlu.core.errors import UserError

if TYPE_CHECKING:
    from danlu.core.artifact import Artifact
    from danlu.core.store import Workspace
    from danlu.data.compare import Difference
    from danlu.data.holders import Holder

_PREVIOUS = "@previous"
_SHORTEST_PREFIX = 6
_MOST_LINES = 12

_in_option = click.option(
    "--in", "name", metavar="NAME", shell_complete=complete_names,
    help="Look only at what the runs of this name made or used.",
)  # fmt: skip
_rows_option = click.option(
    "--rows", type=click.IntRange(0), default=20, show_default=True, help="Most rows to list for each artifact."
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def data() -> None:
    """A corpus is named by its run, by the first characters of its fingerprint, by its folder, or, for the one before
    the last that is different, by NAME@previous.
    """


@data.command()
@click.argument("name", metavar="NAME|FINGERPRINT", shell_complete=complete_names)
@click.option("--open", "open_", is_flag=True, help="Open the card in the browser.")
@workspace_option
@json_option
def card(name: str, open_: bool, workspace: Path, as_json: bool) -> None:
    """Print where the data card of a corpus is, and what it says in short; --json prints all of it."""
    from danlu.core.store import Workspace

    corpus = _corpus(name, Workspace(workspace))
    values = corpus.json("card.json")
    page = corpus / "card.html"
    if as_json:
        print_json({"fingerprint": corpus.fingerprint, "page": str(page) if page.exists() else None, "card": values})
    else:
        _draw_card(values, page)
    if open_:
        import webbrowser

        if not page.exists():
            raise UserError(
                f"The corpus {corpus.fingerprint[:12]} has no card.html: an earlier Danlu made it. Run it again."
            )
        if not webbrowser.open(page.as_uri()):
            click.echo("No browser could be started here; open that file yourself.", err=True)


def _draw_card(values: dict[str, Any], page: Path) -> None:
    from rich.markup import escape

    from danlu.cli.tables import table
    from danlu.data.card import mix_told, sentence

    click.echo(f"{sentence(values)}.")
    if mix_told(values):
        click.echo(f"{mix_told(values)}.")
    made = table("source", "licence", "consent", "comes from", "rows", "unreadable", numbers=2)
    for source in values["sources"]:
        made.add_row(
            escape(source["name"]),
            escape(source["licence"]),
            source.get("consent", "unknown").replace("_", " "),
            escape(source.get("origin") or "not named"),
            f"{source['rows']:,}",
            f"{source['bad_rows']:,}",
        )
    console().print(made)
    click.echo(f"Leaked rows: {values['leaked_rows']:,}; personal values masked: {sum(values['masked'].values()):,}.")
    for warning in values["warnings"]:
        click.echo(f"Note: {warning}")
    click.echo(f"Data card: {page if page.exists() else page.with_name('README.md')}")


@data.command()
@click.argument("before", metavar="A", shell_complete=complete_names)
@click.argument("after", metavar="B", shell_complete=complete_names)
@click.option("--rows", type=click.IntRange(0), default=20, show_default=True, help="Most examples of each change.")
@workspace_option
@json_option
def diff(before: str, after: str, rows: int, workspace: Path, as_json: bool) -> None:
    """Say what changed from corpus A to corpus B: rows, parts, labels, sources and settings.

    Rows are matched by what they say, masked; a row's file may have another name or order.

    \b
    Example:
      $ danlu data diff reviews-zh@previous reviews-zh
    """
    from danlu.core.store import Workspace
    from danlu.data.compare import compare

    store = Workspace(workspace)
    found = compare(_corpus(before, store), _corpus(after, store), store, rows)
    if as_json:
        print_json(found.as_json())
    else:
        _draw_difference(found)


def _draw_difference(found: Difference) -> None:
    from rich.markup import escape

    from danlu.cli.tables import table

    values = found.as_json()
    click.echo(f"{found.before[:12]} has {found.rows[0]:,} rows, {found.after[:12]} has {found.rows[1]:,}.")
    moved, relabelled = sum(found.moved.values()), sum(found.relabelled.values())
    if found.same:
        click.echo("The same rows, in the same parts, with the same labels.")
    else:
        click.echo(
            f"{found.added:,} rows added, {found.removed:,} removed, {found.kept:,} in both; "
            f"{moved:,} texts moved to another part, {relabelled:,} have another label."
        )
    for what in ("moved", "relabelled"):
        for change, count in list(values[what].items())[:_MOST_LINES]:
            click.echo(f"  {what} {change}: {count:,}")
    made = table("", "", "before", "after", numbers=2)
    for what, counts in found.counts.items():
        for value, (old, new) in sorted(counts.items())[:_MOST_LINES]:
            made.add_row(what, escape(value), f"{old:,}", f"{new:,}")
    for reason, (old, new) in found.dropped.items():
        made.add_row("dropped", escape(reason), f"{old:,}", f"{new:,}")
    console().print(made)
    for name, (old, new) in found.settings.items():
        click.echo(f"Setting {name}: {_short(old)} → {_short(new)}")
    for sign, files in (("-", found.files_removed), ("+", found.files_added)):
        for digest, file in files.items():
            click.echo(f"{sign} file {file} (SHA-256 {digest[:12]})")


def _short(value: Any) -> str:
    text = "not there" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:59] + "…"


@data.command()
@click.option("--subject", metavar="X", help="The person's id, as the recipe's subject column has it.")
@click.option("--text", metavar="WORDS", help="Words in the masked text of a row; case does not count.")
@_in_option
@_rows_option
@workspace_option
@json_option
def find(subject: str | None, text: str | None, name: str | None, rows: int, workspace: Path, as_json: bool) -> None:
    """Say where a person (or a text) is: cleaned texts, corpora, and every model and release made from them.

    What data.subject names is kept as a hash under a secret key (data.identity_key); X is hashed in the same way.
    Rows that could not be read, or were dropped while cleaning, keep no subject. Files outside the workspace and its
    cache are not looked at.

    \b
    Examples:
      $ danlu data find --subject C-1042
      $ danlu data find --text "order 7731" --in reviews-zh
    """
    from danlu.core.store import Workspace
    from danlu.data import holders

    if bool((subject or "").strip()) == bool(text):
        raise click.UsageError("Name one of --subject and --text.")
    store = Workspace(workspace)
    only = _made_by(name, store)
    keys, locked = holders.keys_of(store, only) if subject else ([], [])
    wanted = holders.of_subject(subject, keys) if subject else holders.with_text(text or "")
    found = holders.find(store, wanted, only, rows)
    live = _versions(found, store)
    blind = holders.without_subjects(store, only) if subject else []
    if as_json:
        told = {"without_subjects": blind, "without_key": locked}
        print_json({"holders": [holder.as_json() for holder in found], "versions": live, **told})
        return
    _draw_holders(found, live, store)
    if blind:
        click.echo(
            f"{len(blind)} cleaned texts were made without data.subject ({', '.join(one[:12] for one in blind[:5])}): "
            "whose rows they and what was made of them hold cannot be said, but for rows of the same file found above. "
            "Look with --text too."
        )
    if locked:
        click.echo(
            f"{len(locked)} cleaned texts have subjects that were hashed under a key that is not here "
            f"({', '.join(one[:12] for one in locked[:5])}): whether they hold this person cannot be said. Put back "
            f"{store.root / 'keys' / 'identity'} or set the variable of data.identity_key.env, and ask again; where "
            "the key is lost, remove them, and run their recipes again."
        )


def _draw_holders(found: list[Holder], live: list[dict[str, Any]], store: Workspace) -> None:
    from danlu.cli.tables import table

    if not found:
        click.echo(f"Nothing in {store.root} holds it: no cleaned text, no corpus, and so nothing made of one.")
        return
    made = table("stage", "fingerprint", "rows")
    for holder in found:
        rows = ", ".join(f"{count:,} in {part}" for part, count in holder.rows.items())
        made.add_row(holder.stage, holder.fingerprint[:12], rows or f"made from {', '.join(holder.of)}")
    console().print(made)
    for holder in found:
        for row in holder.listed:
            why = f" ({row['reason']})" if row.get("reason") else ""
            click.echo(
                f"  {holder.stage} {holder.fingerprint[:12]} {row['part']}: {row['id']} from {row['origin']}{why}"
            )
    for version in live:
        mark = ", the champion" if version["champion"] else ""
        click.echo(f"Release {version['name']} version {version['version']}{mark} was made from it.")


def _versions(found: list[Holder], store: Workspace) -> list[dict[str, Any]]:
    """The registry's versions among what was found."""
    from danlu.release.registry import Registry, names

    held = {holder.fingerprint for holder in found if holder.stage == "release"}
    versions = []
    for name in names(store):
        registry = Registry(store, name)
        champion = registry.champion()
        versions += [
            {
                "name": name,
                "version": version.number,
                "fingerprint": version.fingerprint,
                "champion": champion is not None and champion.number == version.number,
            }
            for version in registry.versions()
            if version.fingerprint in held
        ]
    return versions


@data.command()
@click.argument("row", metavar="ID")
@_in_option
@_rows_option
@workspace_option
@json_option
def trace(row: str, name: str | None, rows: int, workspace: Path, as_json: bool) -> None:
    """Follow a row back to its file and line. ID is the first characters of a row's id or content.

    \b
    Example:
      $ danlu data trace 3f2a9c
    """
    from danlu.core.store import Workspace
    from danlu.data import holders

    if len(row.strip()) < _SHORTEST_PREFIX:
        raise UserError(f"{row!r} is too short to name a row; give at least {_SHORTEST_PREFIX} characters of its id.")
    store = Workspace(workspace)
    found = holders.trace(store, row, _made_by(name, store), rows)
    if as_json:
        print_json([one.as_json() for one in found])
        return
    if not found:
        click.echo(f"No row in {store.root} has an id or content that begins with {row!r}.")
    for one in found:
        click.echo(f"{one.id}: line {one.line} of {one.file}")
        for file in one.files:
            click.echo(
                f"  source {file['source']}, file SHA-256 {file['sha256']}, licence {file['licence']}, "
                f"consent {file['consent'] or 'unknown'}, from {file['origin'] or 'a place not named'}"
            )
        for place in one.places:
            why = f" ({place['reason']})" if "reason" in place else ""
            click.echo(f"  in {place['stage']} {place['fingerprint'][:12]}: {place['part']}{why}")


def _corpus(name: str, workspace: Workspace) -> Artifact:
    """The corpus that `name` means; with @previous the last one of its runs that is another than the latest.

    Raises `UserError` where there is none.
    """
    from danlu.cli.label import find_corpus

    if not name.endswith(_PREVIOUS):
        return find_corpus(name, workspace)
    run = name.removesuffix(_PREVIOUS)
    latest = find_corpus(run, workspace)
    for record in _runs(run, workspace):
        prints = [row["fingerprint"] for row in record.get("stages", ()) if row["stage"] == "data"]
        if prints and prints[0] != latest.fingerprint:
            found = workspace.find("data", prints[0])
            if found is not None:
                return found
    raise UserError(f"The runs of {run!r} left no corpus but the latest, {latest.fingerprint[:12]}.")


def _runs(name: str, workspace: Workspace) -> list[dict[str, Any]]:
    """The records of the runs of a name, the latest first; damaged ones are passed by."""
    records = []
    for path in sorted((workspace.root / "runs" / name).glob("[0-9]*.json"), reverse=True):
        try:
            records.append(json.loads(path.read_bytes()))
        except (OSError, ValueError):
            continue
    return records


def _made_by(name: str | None, workspace: Workspace) -> set[str] | None:
    """The fingerprints of what the runs of `name` made or used; None for no name."""
    if name is None:
        return None
    from danlu import api

    records = [api.latest_run(name, workspace=workspace.root), *_runs(name, workspace)]
    return {row["fingerprint"] for record in records for row in record["stages"]}
