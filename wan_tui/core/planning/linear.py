"""Symmetric positive definite systems of a few dozen unknowns, without a numerical library in the core."""

import math
from collections.abc import Sequence

Matrix = Sequence[Sequence[float]]


def inverse(matrix: Matrix) -> list[list[float]]:
    """Inverse of a symmetric positive definite matrix (Cholesky). Raises ValueError for any other."""
    size = len(matrix)
    lower = _cholesky(matrix)
    # Rows of the inverse of the lower factor, then its product with its own transpose.
    rows: list[list[float]] = []
    for i in range(size):
        row = [0.0] * size
        row[i] = 1.0 / lower[i][i]
        for j in range(i):
            row[j] = -sum(lower[i][k] * rows[k][j] for k in range(j, i)) / lower[i][i]
        rows.append(row)
    columns = list(zip(*rows, strict=True))
    result = [[0.0] * size for _ in range(size)]
    for i in range(size):
        for j in range(i + 1):
            product = sum(a * b for a, b in zip(columns[i][i:], columns[j][i:], strict=True))
            result[i][j] = result[j][i] = product
    return result


def product(matrix: Matrix, vector: Sequence[float]) -> list[float]:
    """Matrix times vector."""
    return [dot(row, vector) for row in matrix]


def dot(left: Sequence[float], right: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(left, right, strict=True))


def _cholesky(matrix: Matrix) -> list[list[float]]:
    lower: list[list[float]] = []
    for i, given in enumerate(matrix):
        row: list[float] = []
        for j in range(i):
            row.append((given[j] - dot(row, lower[j][:j])) / lower[j][j])
        rest = given[i] - dot(row, row)
        if rest <= 0:
            raise ValueError("the matrix is not positive definite")
        row.append(math.sqrt(rest))
        lower.append(row)
    return lower
