"""One run as one self-contained page, RUN/report.html."""

import math
from typing import Any

import pandas as pd

from analysis import (
    cross_audit,
    figures,
    pages,
    pictures,
    roc,
    run_kind,
    standings,
    statistics,
    tables,
)
from analysis.cost import costs
from analysis.folder import progress_of
from analysis.front import front
from analysis.in_short import in_short
from analysis.load import RunRecord, load_run, noun_of
from analysis.summary import made_by, said_of_the_run
from analysis.verdict import verdict
from trainables.base import noun
from trainables.base.storage import Place
from trainables.outcome.objective import goal_of


def write_report(run_path: Place | str) -> Place:
    """Write the report of a run into its folder, complete or interrupted; returns the file."""
    run = load_run(run_path)
    target = run.path / "report.html"
    with noun.spoken(noun_of([run])):
        pages.write(target, pages.render("report.html.jinja", _values(run)))
    return target


def _values(run: RunRecord) -> dict[str, Any]:
    """What the template shows."""
    dense = statistics.dense(run.trials, run.crossed)
    rows = statistics.confirmed(run.trials, run.config, run.crossed)
    best = statistics.confirmed_winner(run.trials, run.config, run.crossed)
    audited = [] if run.audit is None else roc.curves(run.audit)
    theory = statistics.theory(run.trials)
    levels, progress = front(run), progress_of(run.path)
    raced = standings.standings(progress, run.config, best)
    return {
        "title": _title(run),
        "run": run.config,
        "headline": verdict(run),
        "short": in_short(run),
        "facts": [*_facts(run), *_made(run, best)],
        "comparison": None
        if dense is None
        else tables.dense_and_winner(dense, best, run.config["split_sizes"]),
        "figures": {
            **_figures(run, dense, best, rows),
            "front": pages.figure(figures.front(levels, dense))
            if levels and dense is not None
            else None,
            "roc": pages.figure(figures.roc([c for c in audited if not c.canary]))
            if audited
            else None,
            "theory": None if theory.empty else pages.figure(figures.theory(theory)),
            "gap": None if theory.empty else pages.figure(figures.accuracy_gap(theory)),
        },
        "theory": None if theory.empty else _theory(theory),
        "by_accuracy": goal_of(run.config["search"]).maximised,
        "said": said_of_the_run(run.config),
        "unpruned": tables.unpruned(run.config),
        "has_winner": best is not None,
        "confirmed": None if rows.empty else tables.confirmed_vectors(rows),
        "front": tables.front(levels) if levels else None,
        "crossed": cross_audit.table(run, rows, best),
        "informed": statistics.search_has_references(run.trials),
        "comparators": tables.comparators(rows, best)
        if best is not None and rows["rule"].any()
        else None,
        "pruners": _pruners(run, best),
        "attacks": None
        if dense is None or best is None
        else tables.attack_gains(dense["attack_gains"], best["attack_gains"]),
        "layers": None if best is None else tables.layer_counts(best),
        "trials": tables.all_trials(run.trials),
        "failed": tables.failed_trials(run.trials),
        "race": standings.table(raced, sum(run.config.get("layer_weights") or ()))
        if raced
        else None,
        "costs": None if progress is None else costs(progress),
        "audits": _audits(audited),
        "references_off": _references_off(run),
        "provenance": _provenance(run),
        "non_members": int(run.config["split_sizes"].get("non_members", 0)),
    }


def _references_off(run: RunRecord) -> bool:
    """Whether the run was asked to go without; releases before references recorded nothing."""
    search = run.config["search"]
    return run_kind.references(run) == 0 and bool({"references", "models"} & search.keys())


def _title(run: RunRecord) -> str:
    search = run.config["search"]
    return f"{search.get('model', 'network')} on {search.get('dataset', 'data')}"


FIGURES = (
    *("tradeoff", "progress", "parallel", "importances"),
    *("curse", "forest", "exposed", "layers", "attacks", "residuals"),
)


def _figures(
    run: RunRecord, dense: pd.Series | None, best: pd.Series | None, rows: pd.DataFrame
) -> dict[str, Any]:
    """Name -> inline SVG; None for what cannot be drawn yet."""
    drawn = _of_search(run, dense, best)
    if not rows.empty:
        drawn["curse"] = figures.winners_curse(rows, tables.vector_names(rows))
    if best is not None:
        drawn |= _of_winner(run, dense, best, rows)
    return {name: svg and pages.figure(svg) for name in FIGURES for svg in [drawn.get(name)]}


def _of_search(
    run: RunRecord, dense: pd.Series | None, best: pd.Series | None
) -> dict[str, str | None]:
    if statistics.search_trials(run.trials).empty:
        return {}
    bound = statistics.accuracy_bound(run.trials, run.config)
    found = statistics.importances(run.trials)
    return {
        "tradeoff": figures.tradeoff(run.trials, dense, best, bound),
        "progress": figures.progress(run.trials, dense),
        "parallel": figures.parallel(run.trials, best) if statistics.varies(run.trials) else None,
        "importances": None if found is None else figures.importances(found),
    }


def _of_winner(
    run: RunRecord, dense: pd.Series | None, best: pd.Series, rows: pd.DataFrame
) -> dict[str, str | None]:
    ours = run.epochs[run.epochs["trial_id"].isin(best["trial_ids"])]
    beside, exposed = cross_audit.differences(run, rows, best), cross_audit.exposed(run)
    pixels = pictures.pixels_of(run.config["search"]) if exposed else None
    return {
        "layers": figures.layers(best),
        "residuals": figures.residuals(ours),
        "forest": figures.forest(beside) if beside else None,
        "exposed": None if pixels is None else figures.exposed(exposed, pixels),
        "attacks": None
        if dense is None
        else figures.attacks(dense["attack_gains"], best["attack_gains"]),
    }


def _pruners(run: RunRecord, best: pd.Series | None) -> tables.Table | None:
    rows = statistics.by_other_pruners(run.trials, run.config, run.crossed)
    if best is None or rows.empty:
        return None
    bound = statistics.accuracy_bound(run.trials, run.config)
    return tables.pruners(rows, best, str(run.config["search"].get("pruner", "admm")), bound)


def _audits(found: list[roc.Curve]) -> list[tables.Table]:
    """The ordinary images, then the mislabelled ones where there are any."""
    kinds = {
        False: f"Audit: {noun.many()} with their own label",
        True: f"Audit: mislabelled {noun.many()}",
    }
    groups = {kind: [curve for curve in found if curve.canary == kind] for kind in kinds}
    return [tables.audits(group, kinds[kind]) for kind, group in groups.items() if group]


def _theory(rows: pd.DataFrame) -> dict[str, Any]:
    apart = rows[rows["disagrees"]]
    correlation = statistics.rank_correlation(rows["accuracy_gap"], rows["excess"])
    return {
        "trials": len(rows),
        "missed": int((apart["errors"] > 0).sum()),
        "beyond": int((apart["errors"] < 0).sum()),
        "correlation": None if math.isnan(correlation) else f"{correlation:.2f}",
        "table": tables.theory(rows),
    }


def _facts(run: RunRecord) -> list[tuple[str, str]]:
    """The line of small figures under the headline."""
    rows = statistics.search_trials(run.trials)
    complete = rows[rows["state"] == "COMPLETE"]
    states = rows["state"].value_counts()
    feasible = int(rows["feasible"].eq(True).sum())
    share = f" ({feasible / len(rows):.0%})" if len(rows) else ""
    return [
        ("trials", f"{len(rows)} of {run.config['search'].get('trials', tables.UNKNOWN)}"),
        ("complete", str(len(complete))),
        ("stopped early", str(states.get("PRUNED", 0))),
        ("failed", str(states.get("FAILED", 0))),
        ("feasible", f"{feasible}{share}"),
        ("wall clock", tables.duration(wall_clock(run.trials))),
    ]


def _made(run: RunRecord, best: pd.Series | None) -> list[tuple[str, str]]:
    return [] if best is None else [("winner made by", made_by(run.config, best))]


def wall_clock(trials: pd.DataFrame) -> float:
    """Seconds from the first trial's start to the last one's end; NaN without trials.

    It adds plain seconds: where a machine's clock is far off, pandas cannot add durations to dates.
    """
    if trials.empty:
        return math.nan
    begins = (trials["started_at"] - trials["started_at"].min()).dt.total_seconds()
    return float((begins + trials["duration_s"]).max())


def _provenance(run: RunRecord) -> list[tables.Table]:
    names = {
        "search": "Settings",
        "seeds": "Seeds",
        "split_sizes": f"{noun.many().capitalize()} per part",
        "split_hashes": f"SHA-256 of each part's {noun.one()} indices",
        "packages": "Packages",
        "hardware": "Hardware",
    }
    sources = {**run.config, "seeds": {**run.config.get("seeds", {}), **_seeds(run)}}
    return [
        tables.settings(sources[key], caption)
        for key, caption in names.items()
        if isinstance(sources.get(key), dict) and sources[key]
    ]


def _seeds(run: RunRecord) -> dict[str, str]:
    """The seeds really used, by kind of trial; the run's own fixes split and dense model."""
    used = run.trials.groupby("kind", sort=False)["seed"].unique()
    return {
        "run": str(run.config["search"].get("seed", tables.UNKNOWN)),
        **{f"{kind} trials": ", ".join(map(str, seeds)) for kind, seeds in used.items()},
    }
