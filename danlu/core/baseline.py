"""What the baseline of classify is fitted with: evaluation compares with it, and `model.classic` makes a model of it.

Both rooms read it here, so that the baseline of a report and the model that is released in its place are one thing.
"""

from __future__ import annotations

from typing import Any

#: Inverse strength of the L2 penalty. Measured on one held-out tenth each of 37,000 English short messages and 17,000
#: Chinese reviews: from 2 to 10 accuracy moves by less than one point, its interval being 1.4 to 1.8 wide each way.
PENALTY = 4.0

#: When the solver stops, as scikit-learn's `LogisticRegression` is told. A baseline that stops early flatters every
#: model compared with it: at 1e-3 Chinese reviews lost 1.7 points and the result jumped with the penalty; 1e-5 gives
#: what 1e-4 gives, within half a point.
SOLVER: dict[str, float] = {"max_iter": 400, "tol": 1e-4}

#: Strengths of a ridge's L2 penalty that are tried, in so many folds of the training rows, every third row one, and of
#: so many of them at most. All of them rather than a few: over n-grams the best strength grew with the rows (English
#: messages with their moods as numbers: 0.3 on 2,000 of them, 1 on 24,000), and a fit takes a fraction of a second.
ALPHAS = (0.3, 1.0, 3.0, 10.0, 30.0)
ALPHA_FOLDS = 3
ALPHA_ROWS = 50_000

#: How scikit-learn's `Ridge` is told to solve over sparse n-grams.
RIDGE_SOLVER: dict[str, Any] = {"solver": "sparse_cg", "tol": 1e-5}
