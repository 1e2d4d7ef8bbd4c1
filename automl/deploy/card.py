"""README.md of a bundle: a model card (Mitchell et al. 2019, arXiv:1810.03993) with the head that model hubs read."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from pprint import pformat
from typing import Any

import numpy as np
import yaml

from automl.deploy.markdown import escaped, listed, number, percent, sentence, table
from automl.metrics import LOSSES
from automl.types import Modality
from automl.uncertainty.calibrate import ROWS_OF

SHOWN = 40  # classes, of more than these the worst
LONG = 2_000  # characters of the example row
_PIPELINES = {  # names of hubs for kinds of tasks; others have none
    "tabular": ("tabular-classification", "tabular-regression"),
    "image": ("image-classification", ""),
    "audio": ("audio-classification", ""),
    "text": ("text-classification", ""),
}
_READS: dict[Modality, str] = {
    "tabular": "Numbers, categories and dates go in as cells. A missing one is null, and so is what cannot be read as "
    "one. A category that training did not see is taken as unknown. Numbers far beyond those of training "
    "change the answer hardly more than the last that it saw.",
    "image": "Pictures go in as png or jpeg files (bytes or base64 text) or as arrays, and are resized.",
    "audio": "Sounds go in as spectrograms, or as wav files where the model learned from such. The end of a long one "
    "is not heard.",
    "series": "Series need the channels of training. The end of one that is longer than those of training is not seen.",
    "text": "Texts go in as they are. Of a long one the beginning and the end are read. Words of another language are "
    "unknown words.",
}
_FILES = {
    "model.onnx": "the network: encoded inputs to answers",
    "raw.onnx": "the same from raw columns, for programs in other languages: its metadata say what goes in",
    "encoding.json": "raw rows to encoded inputs",
    "encoding.safetensors": "long lists of numbers of the encoding",
    "meta.json": "task, versions, checksums of the other files",
    "schema.json": "JSON Schema of a raw row and of an answer",
    "examples.json": "raw rows with the model's answers, for a self-test",
    "examples.safetensors": "pictures, sounds and series of these rows",
    "reference.json": "counts of the training rows in bins, to find drift",
    "calibration.json": "how sure the answers are",
    "background.safetensors": "training rows, encoded, that explanations compare with",
    "requirements.txt": "what the model needs, in the versions that it was made with",
    "Dockerfile": "an image that serves the model: docker run -p 127.0.0.1:8000:8000 -e LEVEL4_TOKEN=...",
    "README.md": "this text",
}
_BESIDE = {
    "model.onnx": "the whole network in fp32, which answers where the variant of meta.json cannot",
    "raw.onnx": "the whole network in fp32 from raw columns, not the variant, for programs in other languages: its "
    "metadata say what goes in",
}
"""Of these where a variant answers."""
CARD, NO_RAW = "README.md", "There is no raw.onnx"
_LIKE = {
    "*.whl": "the code that answers, to install",
    "model.*.onnx": "a smaller or faster variant of the network, which answers where meta.json chose it",
    "calibration.*.json": "how sure the answers of that variant are",
}


def card(facts: Mapping[str, Any]) -> str:
    """The text of README.md. What is absent from ``facts`` is left out.

    ``facts``: what result.json holds (``experiments.solve.result.compose_result``), and any of: ``target``, its name;
    ``license`` of the data; ``columns``, how many the model reads; ``inputs``, name, kind, values and missing share of
    each; ``balance``, shares of the classes; ``example``, a raw row; ``classes``, as
    ``class_rows`` gives them; ``decision``, how an answer comes of probabilities; ``knowledge``, what was used of past
    runs; ``files``, names of the folder; ``no_raw``, that there is no raw.onnx, and why; ``digest``; ``answers``, what
    meta.json says of the variant that does.
    """
    sections = {
        "": _what(facts),
        "How to use it": _use(facts),
        "Data": _data(facts),
        "How good it is": _metrics(facts),
        "How sure it is": _calibration(facts),
        "Limits of use": _limits(facts),
        "Weights from elsewhere": _weights(facts),
        "What it costs": _cost(facts),
        "How it was found": _search(facts),
        "Files": _files(facts),
    }
    parts = [f"## {title}\n\n{text}" if title else text for title, text in sections.items() if text]
    return f"---\n{yaml.safe_dump(head(facts), sort_keys=False, allow_unicode=True)}---\n\n" + "\n\n".join(parts) + "\n"


def head(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The YAML head: license, library, tags, metrics, and the results on test rows in the form of a model index."""
    task, test = facts["task"], facts.get("test", {})
    kinds = _kinds(facts)
    pipeline = _PIPELINES.get(kinds[0], ("", ""))[task["kind"] == "regression"] if len(kinds) == 1 else ""
    licence = str(facts.get("license") or "")
    known = re.fullmatch(r"[a-z0-9][a-z0-9.-]*", licence)
    made: dict[str, Any] = {}
    if licence:
        made = {"license": licence} if known else {"license": "other", "license_name": licence}
    made |= {"library_name": "level4", "tags": ["automl", "onnx", task["kind"], *kinds]}
    if pipeline:
        made["pipeline_tag"] = pipeline
    made["metrics"] = [task["metric"]]
    if task["metric"] in test:
        name = task["name"]
        result = {
            "task": {"type": pipeline or "other"},
            "dataset": {"type": "own", "name": name, "split": "test"},
            "metrics": [{"type": task["metric"], "value": float(test[task["metric"]])}],
        }
        made["model-index"] = [{"name": name, "results": [result]}]
    return made


def class_rows(classes: Sequence[str], y: np.ndarray, predictions: np.ndarray) -> list[dict[str, Any]]:
    """Of each class its test rows, the share of them that is found, and of the rows so named the share that is right.

    ``y``: class indices (rows,). ``predictions``: probabilities (rows, classes). A share of no rows is None.
    """
    named = predictions.argmax(1)
    found = []
    for i, name in enumerate(classes):
        rows, told, right = ((y == i).sum(), (named == i).sum(), ((y == i) & (named == i)).sum())
        recall, precision = (float(right / n) if n else None for n in (rows, told))
        found.append({"class": name, "rows": int(rows), "recall": recall, "precision": precision})
    return found


def _what(facts: Mapping[str, Any]) -> str:
    task = facts["task"]
    target = f"**{escaped(facts['target'])}**" if facts.get("target") else "the target"
    if task["kind"] == "regression":
        does = f"It predicts {target}, a number"
    else:
        names = [escaped(c) for c in task["classes"]]
        rest = f" and {len(names) - 20:,} more" if len(names) > 20 else ""
        does = f"It tells {target}, one of {len(names):,} classes ({', '.join(names[:20])}{rest})"
    kinds = _kinds(facts)
    reads = f", from {' and '.join(kinds)} data" if kinds else ""
    return f"""# {escaped(task["name"])}

{does}{reads}. The model was found by Level 4, an AutoML program. It runs without the program.

**Meant for** rows like those it learned from: the same columns, gathered in the same way.

**Not meant for** rows of another origin or time without a new test; for what would happen if a column were changed, as
it knows what goes together and no causes; or for decisions about people that no person looks at."""


def _use(facts: Mapping[str, Any]) -> str:
    rows = "read_examples('.').rows"
    example = facts.get("example")
    if example is not None and len(json.dumps(example, default=str)) <= LONG:
        text = pformat([dict(example)], width=110, sort_dicts=False)
        rows = text if not any(isinstance(v, np.ndarray) for v in example.values()) else rows
    imports = "from automl.deploy.examples import read_examples\n" if rows.startswith("read") else ""
    more = "" if facts["task"]["kind"] == "regression" else "\nprint(bundle.predict_proba(rows))"
    return f"""In this folder:

```
pip install level4_runtime-*.whl
```

```python
from level4 import Bundle
{imports}
rows = {rows}
bundle = Bundle.load(".")
print(bundle.predict(rows)){more}
```

With the whole program, for a file of any size:

```
level4 +experiment=predict bundle=. data.path=new.csv out=answers.parquet
```"""


def _data(facts: Mapping[str, Any]) -> str:
    data = facts.get("data", {})
    counts = [f"{data[n]:,} {what}" for n, what in _COUNTS.items() if isinstance(data.get(n), int)]
    origin = str(data.get("origin") or "not given")
    if "://" not in origin:
        origin = re.split(r"[\\/]", origin.rstrip("\\/"))[-1]  # where a file lay is nobody's business
    lines = [
        f"Origin: {escaped(origin)}.",
        f"Licence: {escaped(facts.get('license') or 'not given')}.",
        f"Rows: {', '.join(counts)}." if counts else "",
        f"Classes among the rows it learned from: {escaped(facts['balance'])}." if facts.get("balance") else "",
        f"Fingerprint of the data: `{escaped(data['hash'])}`." if data.get("hash") else "",
        f"Columns and other inputs that it reads: {facts['columns']:,}." if facts.get("columns") else "",
        f"Judged in the search by {escaped(data['valid'])}." if data.get("valid") else "",
        *(sentence(note) for note in data.get("notes", ())),
        *(f"{escaped(f['where'])}: {sentence(f['text'])}" for f in facts.get("findings", ())[:8]),
    ]
    inputs = list(facts.get("inputs", ()))
    if not inputs:
        return listed(lines)
    rows = [tuple(map(escaped, one)) for one in inputs[:SHOWN]]
    more = f"\n\n{len(inputs) - SHOWN:,} more are in `schema.json`." if len(inputs) > SHOWN else ""
    return f"{listed(lines)}\n\n{table(('input', 'kind', 'values', 'missing'), rows)}{more}"


_COUNTS = {"rows": "in all", "train": "to learn from", "test": "to test"}


def _metrics(facts: Mapping[str, Any]) -> str:
    test, task = facts.get("test"), facts["task"]
    if test is None:
        return ""
    if not test:
        value = facts.get("val", {}).get(task["metric"])
        judged = (
            f" Its {escaped(task['metric'])} on the rows that chose it is {number(value)}." if value is not None else ""
        )
        return (
            f"No test rows were held out: all rows taught or chose the model. How good it is was not measured.{judged}"
        )
    constant = facts.get("baseline", {})
    rows = [
        (escaped(name) + (" (less is better)" if name in LOSSES else ""), number(value), number(constant.get(name)))
        for name, value in test.items()
    ]
    text = "On test rows, looked at once, after everything was chosen. Beside it the best constant answer.\n\n"
    text += table(("metric", "model", "constant"), rows)
    if facts.get("interval"):
        low, high = facts["interval"]
        text += f"\n\nThe 95 % interval of {escaped(task['metric'])} over other such test rows is "
        text += f"{number(low)} to {number(high)}."
    if task.get("goal"):
        met = {True: "met", False: "not met"}.get(task.get("goal_met"), "not judged")
        text += f"\n\nThe goal was {escaped(task['goal'])}: {met}."
    if classes := facts.get("classes"):
        worst = sorted(classes, key=lambda c: -1.0 if c["recall"] is None else c["recall"])[:SHOWN]
        shown = classes if len(classes) <= SHOWN else worst
        text += "\n\n" + (
            "" if shown is classes else f"The {SHOWN} of {len(classes):,} classes that are found least:\n\n"
        )
        rows = [(escaped(c["class"]), f"{c['rows']:,}", number(c["recall"]), number(c["precision"])) for c in shown]
        text += table(("class", "test rows", "recall", "precision"), rows)
    return text


def _calibration(facts: Mapping[str, Any]) -> str:
    known = facts.get("calibration") or {}
    regression = facts["task"]["kind"] == "regression"
    lines = [f"Calibrated on {known['rows']:,} rows: {ROWS_OF[known['source']]}."] if known else []
    if known:
        sure = "is guaranteed for rows drawn like these" if known["guaranteed"] else "is not guaranteed, only measured"
        lines.append(f"The coverage of its {'intervals' if regression else 'sets'} {sure}.")
    heat = known.get("temperature", 1.0)
    if heat != 1:
        way = "too sure of themselves" if heat > 1 else "not sure enough"
        lines.append(f"Its probabilities were {way} and are at temperature {number(heat)}.")
    for level, got in known.get("coverage", {}).items():
        band = f"{percent(got['band'][0])} to {percent(got['band'][1])} is chance"
        size = (
            f"mean size {number(got['mean_size'])}" if "mean_size" in got else f"mean width {number(got['mean_width'])}"
        )
        lines.append(f"Asked for {percent(float(level))}: {percent(got['covered'])} of test rows, {band}, {size}.")
    if not regression:
        lines.append(sentence(facts.get("decision") or "The answer is the class of the highest probability"))
    return listed(lines)


def _limits(facts: Mapping[str, Any]) -> str:
    refused = "Refused, in one line that says why: rows without a column that the model reads, arrays of another shape,"
    return listed(
        [*(_READS[k] for k in _kinds(facts)), f"{refused} and files of another kind. It opens no path or address."]
    )


def _weights(facts: Mapping[str, Any]) -> str:
    """Of known networks that are part of the model. Whether they saw the test rows nobody can tell from here."""
    lines = []
    for known in facts.get("weights", ()):
        if known["deployed"]:
            said = f"{escaped(known['name'])} ({escaped(known['family'])}), from {escaped(known['source'])}"
            licence = escaped(known["licence"] or "not given")
            data = escaped(known["trained_on"] or "not given")
            lines.append(f"{said}. Licence: {licence}. Trained on: {data}. sha256: `{escaped(known['sha256'])}`.")
    if lines:
        lines.append(
            "Rows of public data sets may be among the data of such weights: whether test rows are was not checked."
        )
    return listed(lines)


def _cost(facts: Mapping[str, Any]) -> str:
    cost = facts.get("deployed", {})
    said = {
        "parameters": "{:,.0f} numbers in the model",
        "megabytes": "{:.3g} MB of files",
        "latency_ms": "{:.3g} ms for one raw row on one thread, reading it included",
        "batch_ms": "{:.3g} ms for each of 32 rows asked at once",
        "graph_ms": "{:.3g} ms of one row for the network alone",
    }
    lines = [text.format(cost[name]) for name, text in said.items() if cost.get(name) is not None]
    if facts.get("within_limits") is False:
        lines.append("It is over a limit that was set.")
    return listed(lines)


def _search(facts: Mapping[str, Any]) -> str:
    tried = Counter(t["family"] for t in facts.get("tried", ()))
    trials, seconds, members = facts.get("trials", {}), facts.get("seconds", {}), facts.get("ensemble", ())
    chosen = facts.get("chosen", {}).get("family")
    weights = ", ".join(f"{escaped(m['family'])} {m['weight']:.2f}" for m in members)
    kinds = ", ".join(f"{escaped(family)} {count}" for family, count in tried.most_common())
    lines = [
        f"Chosen: an ensemble of {len(members)} ({weights})." if len(members) > 1 else f"Chosen: {escaped(chosen)}.",
        f"Families tried, and how often: {kinds}." if tried else "",
        f"Trials: {trials.get('ok', 0):,} finished, {sum(trials.values()) - trials.get('ok', 0):,} not."
        if trials
        else "",
        f"Time: {seconds['total']:,.0f} s in all." if seconds.get("total") else "",
        f"Level {facts['level']}, seed {facts['seed']}." if "level" in facts and "seed" in facts else "",
        f"Made by version {escaped(facts['version'])}, {facts.get('date', '')}." if facts.get("version") else "",
        f"Past runs: {sentence(facts['knowledge'])}" if facts.get("knowledge") else "",
        *(sentence(why) for why in (facts.get("prior") or {}).get("why", ())),
        *(sentence(note) for note in facts.get("notes", ())),
    ]
    return listed(lines if chosen else lines[1:])


def _files(facts: Mapping[str, Any]) -> str:
    text = _list_of(facts.get("files", ()), facts.get("answers") or {})
    why = sentence(facts["no_raw"]) if facts.get("no_raw") else ""
    return "\n\n".join([t for t in (text, why, f"Digest: `{facts['digest']}`." if facts.get("digest") else "") if t])


def _list_of(files: Sequence[str], answers: Mapping[str, Any]) -> str:
    """``answers``: what meta.json says of the variant that does, empty for ``model.onnx``."""
    known = _FILES | (_BESIDE if answers else {})
    what = [known.get(name) or next((t for p, t in _LIKE.items() if fnmatch(name, p)), "") for name in files]
    rows = [(f"`{name}`", text) for name, text in zip(files, what, strict=True)]
    return table(("file", "what"), rows) if rows else ""


def renewed(text: str, meta: Mapping[str, Any], files: Sequence[str]) -> str:
    """The card of a bundle whose variants changed after it was judged: its files, and that all else is of before.

    ``text``: the card, also one that was renewed before; another text stays as it is. ``meta``: meta.json as it is now.
    """
    above, mark, last = text.rpartition("\n\n## Files\n\n")
    known = re.findall(r"`([0-9a-f]{64})`", last)
    if not mark or not known:
        return text
    variant = next((v for v in meta.get("variants", ()) if v["name"] == meta.get("chosen")), {})
    parts = [_list_of(files, variant), *(p for p in last.split("\n\n") if p.startswith(NO_RAW))]
    parts.append(f"Digest: `{meta['digest']}`.")
    if meta["digest"] != known[-1]:
        how = f" ({variant['members']} of its members, {variant['precision']})" if variant else ""
        file = variant.get("file", "model.onnx")
        parts.append(
            f"Since this was written its variants were changed: `{file}`{how} answers now. "
            f"What is told above was measured before, when the digest was `{known[-1]}`."
        )
    return f"{above}{mark}" + "\n\n".join(parts) + "\n"


def _kinds(facts: Mapping[str, Any]) -> list[Modality]:
    """The kinds of data it reads, each once; of ``data.inputs``, which tells each input as ``tabular 7``."""
    found = [str(text).partition(" ")[0] for text in facts.get("data", {}).get("inputs", {}).values()]
    return [kind for kind in _READS if kind in found]
