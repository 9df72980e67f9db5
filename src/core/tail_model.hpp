// The tail of a distribution beyond what was seen: peaks over a threshold follow a generalised
// Pareto distribution (Pickands 1975; Balkema, de Haan 1974). As a threshold for anomalies: Siffer,
// Fouque, Termier, Largouet: "Anomaly Detection in Streams with Extreme Value Theory", KDD 2017.
#pragma once

#include "base.hpp"

namespace ad {

/// P(X > x) = (1 + shape x / scale)^(-1 / shape) for an excess x; exp(-x / scale) for shape 0.
struct ParetoTail {
    double shape;
    double scale;

    /// From excesses in ascending order, not negative, the largest of them positive. The estimator
    /// of Zhang, Stephens: "A New and Efficient Estimation Method for the Generalized Pareto
    /// Distribution", Technometrics 51 (2009), which always exists and searches for no optimum.
    static ParetoTail fit(const std::vector<double>& excesses);

    /// The excess that is exceeded with this probability, in (0, 1].
    double exceeded_with(double probability) const;
};

/// The score that a row exceeds with probability `risk`, for the distribution that the sorted
/// scores are from: by their own quantile where there are enough of them, else by the tail fitted
/// to their highest fiftieth, or to the highest 20 if these are more. Not beyond `largest`, the end
/// of the scores, unless more than those rows are there: then it is not extreme.
double evt_threshold(const std::vector<double>& sorted, double risk,
                     double largest = std::numeric_limits<double>::infinity());

}  // namespace ad
