"""Methods that read and write at positions, order, and search."""

from __future__ import annotations

from . import functions_search as search
from .out import in_place


class SearchMethods:
    """Reading and writing at positions, ordering, running totals, searching."""

    gather, scatter, scatter_add, scatter_reduce = (
        search.gather, search.scatter, search.scatter_add, search.scatter_reduce
    )
    scatter_ = in_place(search.scatter)
    scatter_add_ = in_place(search.scatter_add)
    scatter_reduce_ = in_place(search.scatter_reduce)
    index_select, index_add, index_copy, index_fill, index_put = (
        search.index_select, search.index_add, search.index_copy, search.index_fill,
        search.index_put,
    )
    index_add_ = in_place(search.index_add)
    index_copy_ = in_place(search.index_copy)
    index_fill_ = in_place(search.index_fill)
    index_put_ = in_place(search.index_put)
    take, put, take_along_dim = search.take, search.put, search.take_along_dim
    put_ = in_place(search.put)
    masked_fill, masked_select, masked_scatter = (
        search.masked_fill, search.masked_select, search.masked_scatter
    )
    masked_fill_ = in_place(search.masked_fill)
    masked_scatter_ = in_place(search.masked_scatter)
    nonzero, argwhere = search.nonzero, search.argwhere
    sort, argsort, msort, topk, kthvalue = (
        search.sort, search.argsort, search.msort, search.topk, search.kthvalue
    )
    median, mode, quantile = search.median, search.mode, search.quantile
    cumsum, cumprod, cummax, cummin, logcumsumexp = (
        search.cumsum, search.cumprod, search.cummax, search.cummin, search.logcumsumexp
    )
    cumsum_ = in_place(search.cumsum)
    cumprod_ = in_place(search.cumprod)
    diff, unique, unique_consecutive, bincount, histc = (
        search.diff, search.unique, search.unique_consecutive, search.bincount, search.histc
    )
    repeat_interleave = search.repeat_interleave
