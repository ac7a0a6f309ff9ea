"""Vectors of items to begin with: what is taken together lies together before the first step of learning.

Letters of the shapes: I items, C items with company, D width.
Source: Levy & Goldberg 2014, "Neural Word Embedding as Implicit Matrix Factorization": the positive pointwise mutual
information of what occurs in one window, and the factors of its largest eigenvalues.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import eigsh

from ltsi.sequences.split import Split
from ltsi.sparse_sum import SparseSum

WINDOW = 10
"""Events apart that two items of a user still count as taken together."""


def spectral_vectors(split: Split, dim: int) -> NDArray[np.float32]:
    """Returns vectors of length one, or zero for an item that training never shows beside another one.

    Args:
        split: the training part is counted.
        dim: width D, smaller than the catalogue.

    Returns:
        `(I, D)`.
    """
    information = _positive_information(_count_pairs(split))
    spectral_ID = np.zeros((information.shape[0], dim), dtype=np.float32)
    # Of a catalogue of millions most may have no company: the others alone are decomposed.
    company_C = np.flatnonzero(np.diff(information.indptr))
    if not len(company_C):
        return spectral_ID
    information = information[company_C][:, company_C]
    # The diagonal is zero, so the values add up to zero: the smallest is never among those that count.
    n_values = min(dim, len(company_C) - 1)
    # A fixed start, for the same vectors every time.
    start_C = np.random.default_rng(0).normal(size=len(company_C))
    value_D, vector_CD = eigsh(information, k=n_values, which="LA", v0=start_C, tol=1e-3)
    vector_CD = vector_CD * np.sqrt(np.maximum(value_D, 0.0))
    length_C1 = np.linalg.norm(vector_CD, axis=1, keepdims=True)
    spectral_ID[company_C, :n_values] = np.where(length_C1 > 1e-6, vector_CD / np.maximum(length_C1, 1e-6), 0.0)
    return spectral_ID


def _count_pairs(split: Split) -> sparse.csr_array:
    """Counts how often two different items are at most `WINDOW` events apart in a user's history, both ways."""
    n_items = split.store.n_items
    pairs = SparseSum((n_items, n_items))
    for block in split.training_blocks():
        user = block.user()
        for apart in range(1, min(WINDOW, len(user) - 1) + 1):
            same = user[apart:] == user[:-apart]
            ones = np.ones(np.count_nonzero(same), dtype=np.float32)
            pairs.add(ones, block.item[:-apart][same], block.item[apart:][same])
    total = pairs.total()
    counts = sparse.csr_array(total + total.T)
    counts.setdiag(0.0)
    counts.eliminate_zeros()
    return counts


def _positive_information(counts: sparse.csr_array) -> sparse.csr_array:
    """Returns `max(0, log(n_ij · n / (n_i · n_j)))` of each pair that was counted."""
    total_I = np.asarray(counts.sum(axis=1)).ravel()
    pairs = counts.tocoo()
    row, column = pairs.coords
    information = np.log(pairs.data * total_I.sum() / (total_I[row] * total_I[column]))
    return sparse.csr_array((np.maximum(information, 0.0), (row, column)), shape=counts.shape)
