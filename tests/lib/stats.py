# SPDX-License-Identifier: Apache-2.0
"""Probabilities for tests of randomness: how likely is what was seen if all were as it should be."""

import math

# Chance that a test of something right fails.
FALSE_ALARM = 1e-6


def gamma_upper(a, x):
    """Regularised upper incomplete gamma function Q(a, x), by series or continued fraction."""
    if x <= 0:
        return 1.0
    scale = math.exp(a * math.log(x) - x - math.lgamma(a))
    if x < a + 1:
        term = total = 1 / a
        n = a
        while term > total * 1e-16:
            n += 1
            term *= x / n
            total += term
        return max(0.0, 1 - scale * total)
    tiny = 1e-300
    b = x + 1 - a
    c, d = 1 / tiny, 1 / b
    fraction = d
    for i in range(1, 100000):
        step = -i * (i - a)
        b += 2
        d = 1 / (step * d + b or tiny)
        c = b + step / c or tiny
        fraction *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return scale * fraction


def chi_squared_p(counts):
    """Probability of counts at least as uneven as these, where all are equally likely."""
    expected = sum(counts) / len(counts)
    statistic = sum((count - expected) ** 2 for count in counts) / expected
    return gamma_upper((len(counts) - 1) / 2, statistic / 2)


def binomial_p(count, runs, p):
    """Twice the smaller tail of the binomial distribution, exactly summed."""
    def term(k):
        return math.exp(math.lgamma(runs + 1) - math.lgamma(k + 1) - math.lgamma(runs - k + 1)
                + k * math.log(p) + (runs - k) * math.log1p(-p))

    lower = math.fsum(term(k) for k in range(0, count + 1))
    upper = math.fsum(term(k) for k in range(count, runs + 1))
    return min(1.0, 2 * min(lower, upper))
