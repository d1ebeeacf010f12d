"""Symmetric positive definite systems of a few dozen unknowns, without a numerical library in the core."""

import math
from collections.abc import Sequence
from operator import mul

Matrix = Sequence[Sequence[float]]


def inverse(matrix: Matrix) -> list[list[float]]:
    """Inverse of a symmetric positive definite matrix (Cholesky). Raises ValueError for any other."""
    size = len(matrix)
    lower = _cholesky(matrix)
    # Columns of the inverse of the lower factor, each from its diagonal down; then its product with its transpose.
    columns: list[list[float]] = []
    for i in range(size):
        for j, column in enumerate(columns):
            column.append(-dot(lower[i][j:i], column) / lower[i][i])
        columns.append([1.0 / lower[i][i]])
    result = [[0.0] * size for _ in range(size)]
    for i in range(size):
        for j in range(i + 1):
            result[i][j] = result[j][i] = dot(columns[i], columns[j][i - j :])
    return result


def product(matrix: Matrix, vector: Sequence[float]) -> list[float]:
    """Matrix times vector."""
    return [dot(row, vector) for row in matrix]


def dot(left: Sequence[float], right: Sequence[float]) -> float:
    """Sum of the products; the shorter one decides how many."""
    return float(sum(map(mul, left, right)))


def _cholesky(matrix: Matrix) -> list[list[float]]:
    lower: list[list[float]] = []
    for i, given in enumerate(matrix):
        row: list[float] = []
        for j in range(i):
            row.append((given[j] - dot(row, lower[j])) / lower[j][j])
        rest = given[i] - dot(row, row)
        if rest <= 0:
            raise ValueError("the matrix is not positive definite")
        row.append(math.sqrt(rest))
        lower.append(row)
    return lower
