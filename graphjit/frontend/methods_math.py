"""Methods that compute: the functions of their names, with the tensor as first argument."""

from __future__ import annotations

from typing import Any

from . import functions_linear as linear
from . import functions_pointwise as pointwise
from . import functions_reduce as reduce


class PointwiseMethods:
    """Pointwise arithmetic, comparison, logic and elementary functions."""

    add, sub, mul, div = pointwise.add, pointwise.sub, pointwise.mul, pointwise.div
    subtract, multiply, divide = pointwise.sub, pointwise.mul, pointwise.div
    true_divide, floor_divide = pointwise.true_divide, pointwise.floor_divide
    remainder, fmod, pow = pointwise.remainder, pointwise.fmod, pointwise.pow
    atan2 = arctan2 = pointwise.atan2
    maximum, minimum = pointwise.maximum, pointwise.minimum
    lt = less = pointwise.lt
    le = less_equal = pointwise.le
    gt = greater = pointwise.gt
    ge = greater_equal = pointwise.ge
    eq = pointwise.eq
    ne = not_equal = pointwise.ne
    logical_and, logical_or = pointwise.logical_and, pointwise.logical_or
    logical_xor, logical_not = pointwise.logical_xor, pointwise.logical_not
    bitwise_and, bitwise_or = pointwise.bitwise_and, pointwise.bitwise_or
    bitwise_xor, bitwise_not = pointwise.bitwise_xor, pointwise.bitwise_not
    bitwise_left_shift = pointwise.bitwise_left_shift
    bitwise_right_shift = pointwise.bitwise_right_shift
    neg = negative = pointwise.neg
    abs = absolute = pointwise.abs
    sign, positive, square = pointwise.sign, pointwise.positive, pointwise.square
    sqrt, rsqrt, reciprocal = pointwise.sqrt, pointwise.rsqrt, pointwise.reciprocal
    exp, exp2, expm1 = pointwise.exp, pointwise.exp2, pointwise.expm1
    log, log2, log10, log1p = pointwise.log, pointwise.log2, pointwise.log10, pointwise.log1p
    sin, cos, tan = pointwise.sin, pointwise.cos, pointwise.tan
    asin = arcsin = pointwise.asin
    acos = arccos = pointwise.acos
    atan = arctan = pointwise.atan
    sinh, cosh, tanh = pointwise.sinh, pointwise.cosh, pointwise.tanh
    asinh = arcsinh = pointwise.asinh
    acosh = arccosh = pointwise.acosh
    atanh = arctanh = pointwise.atanh
    sigmoid, logit, relu = pointwise.sigmoid, pointwise.logit, pointwise.relu
    erf, erfc = pointwise.erf, pointwise.erfc
    isnan, isinf, isfinite = pointwise.isnan, pointwise.isinf, pointwise.isfinite
    isposinf, isneginf, signbit = pointwise.isposinf, pointwise.isneginf, pointwise.signbit
    floor, ceil, round = pointwise.floor, pointwise.ceil, pointwise.round
    trunc = fix = pointwise.trunc
    frac, nan_to_num = pointwise.frac, pointwise.nan_to_num
    clamp = clip = pointwise.clamp
    clamp_min, clamp_max = pointwise.clamp_min, pointwise.clamp_max
    lerp, addcmul, addcdiv = pointwise.lerp, pointwise.addcmul, pointwise.addcdiv
    isclose, logaddexp, xlogy = pointwise.isclose, pointwise.logaddexp, pointwise.xlogy
    hypot, heaviside, copysign = pointwise.hypot, pointwise.heaviside, pointwise.copysign
    rad2deg, deg2rad = pointwise.rad2deg, pointwise.deg2rad

    def where(self: Any, condition: Any, other: Any) -> Any:
        """This tensor's elements where `condition`, else those of `other`."""
        return pointwise.where(condition, self, other)


class ReduceMethods:
    """Sums, means, extrema, norms, truth."""

    sum, nansum, mean, nanmean, prod = (
        reduce.sum, reduce.nansum, reduce.mean, reduce.nanmean, reduce.prod
    )
    var, std = reduce.var, reduce.std
    max, min, amax, amin, aminmax = (
        reduce.max, reduce.min, reduce.amax, reduce.amin, reduce.aminmax
    )
    argmax, argmin = reduce.argmax, reduce.argmin
    all, any, count_nonzero = reduce.all, reduce.any, reduce.count_nonzero
    logsumexp, norm, dist = reduce.logsumexp, reduce.norm, reduce.dist
    equal, allclose = reduce.equal, reduce.allclose
    softmax, log_softmax = reduce.softmax, reduce.log_softmax


class LinearMethods:
    """Products of matrices and vectors."""

    mm, bmm, mv, matmul = linear.mm, linear.bmm, linear.mv, linear.matmul
    dot = vdot = linear.dot
    addmm, addmv, addr = linear.addmm, linear.addmv, linear.addr
    addbmm, baddbmm = linear.addbmm, linear.baddbmm
    outer = ger = linear.outer
    inner, trace = linear.inner, linear.trace


class MathMethods(PointwiseMethods, ReduceMethods, LinearMethods):
    """Every method that computes."""
