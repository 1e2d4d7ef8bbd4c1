"""From a table to a model that answers: python examples/wine.py"""

from sklearn.datasets import load_wine

from level4 import Bundle, solve

# So that the example takes seconds. Without it: the time of ``seconds``, all families, all cores.
QUICK = ["engine=sequential", "family=[linear]", "task.folds=0", "budget.trials=2", "budget.epochs=4"]


def main() -> None:
    table = load_wine(as_frame=True).frame
    solution = solve(table, target="target", seconds=None, overrides=QUICK)
    print(solution.leaderboard().to_string(index=False))
    print("accuracy on the test rows:", solution.result["test"]["accuracy"])
    print("report:", solution.folder / "report.html")

    bundle = Bundle.load(solution.bundle)  # all that a prediction needs; it runs without torch
    rows = table.drop(columns="target").head(3)
    print("labels:", *bundle.predict(rows))
    print("sets that hold the true one for nine rows in ten:", bundle.predict_set(rows).tolist())


if __name__ == "__main__":
    main()
