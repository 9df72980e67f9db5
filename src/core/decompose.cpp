#include "decompose.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>

namespace ad {

namespace {

constexpr double kEpsilon = std::numeric_limits<double>::epsilon();
constexpr std::size_t kPollRows = 64;  ///< of a matrix, between two calls of poll

typedef double Pack __attribute__((vector_size(16)));
constexpr std::size_t kPack = 2;

Pack load(const double* from) {
    Pack pack;
    std::memcpy(&pack, from, sizeof(pack));
    return pack;
}

void store(const Pack& pack, double* to) { std::memcpy(to, &pack, sizeof(pack)); }

double dot(const double* a, const double* b, std::size_t n) {
    Pack first{}, second{}, third{}, fourth{};
    std::size_t i = 0;
    for (; i + 4 * kPack <= n; i += 4 * kPack) {
        first += load(a + i) * load(b + i);
        second += load(a + i + kPack) * load(b + i + kPack);
        third += load(a + i + 2 * kPack) * load(b + i + 2 * kPack);
        fourth += load(a + i + 3 * kPack) * load(b + i + 3 * kPack);
    }
    first = (first + second) + (third + fourth);
    double sum = first[0] + first[1];
    for (; i < n; ++i) sum += a[i] * b[i];
    return sum;
}

/// y += factor * x
void add_multiple(double factor, const double* x, double* y, std::size_t n) {
    std::size_t i = 0;
    for (; i + kPack <= n; i += kPack) store(load(y + i) + factor * load(x + i), y + i);
    for (; i < n; ++i) y[i] += factor * x[i];
}

/// (x, y) turned by an angle of that cosine and sine.
void rotate(double cosine, double sine, double* x, double* y, std::size_t n) {
    std::size_t i = 0;
    for (; i + kPack <= n; i += kPack) {
        const Pack a = load(x + i), b = load(y + i);
        store(cosine * a - sine * b, x + i);
        store(sine * a + cosine * b, y + i);
    }
    for (; i < n; ++i) {
        const double a = x[i], b = y[i];
        x[i] = cosine * a - sine * b;
        y[i] = sine * a + cosine * b;
    }
}

/// T = Q A Q' with T tridiagonal: `diagonal`, and `beside` it (beside[i] couples i and i + 1).
struct Tridiagonal {
    std::vector<double> diagonal, beside;
    Square q;
};

/// The reflection I - beta v v' that leaves nothing of x[0..n) but its first element, which is
/// returned; x becomes v.
double reflect(double* x, std::size_t n, double& beta) {
    const double tail = dot(x + 1, x + 1, n - 1);
    beta = 0.0;
    if (tail == 0.0) return x[0];
    const double norm = std::sqrt(x[0] * x[0] + tail);
    const double left = x[0] > 0.0 ? -norm : norm;
    x[0] -= left;
    beta = 2.0 / (x[0] * x[0] + tail);
    return left;
}

Tridiagonal tridiagonalize(Square& a) {
    const std::size_t n = a.size;
    Tridiagonal t{std::vector<double>(n), std::vector<double>(n), Square(n)};
    for (std::size_t i = 0; i < n; ++i) t.q.at(i, i) = 1.0;
    std::vector<double> v(n), w(n);
    for (std::size_t k = 0; k + 1 < n; ++k) {
        poll();
        const std::size_t rest = n - k - 1;
        for (std::size_t i = 0; i < rest; ++i) v[i] = a.at(k + 1 + i, k);
        double beta = 0.0;
        t.beside[k] = reflect(v.data(), rest, beta);
        if (beta == 0.0) continue;
        // the rest R becomes R - v w' - w v', w = p - (beta/2 p'v) v, p = beta R v
        for (std::size_t i = 0; i < rest; ++i) {
            w[i] = beta * dot(a.row(k + 1 + i) + k + 1, v.data(), rest);
        }
        add_multiple(-0.5 * beta * dot(w.data(), v.data(), rest), v.data(), w.data(), rest);
        for (std::size_t i = 0; i < rest; ++i) {
            double* row = a.row(k + 1 + i) + k + 1;
            add_multiple(-v[i], w.data(), row, rest);
            add_multiple(-w[i], v.data(), row, rest);
        }
        // Q becomes (I - beta v v') Q
        std::fill(w.begin(), w.end(), 0.0);
        for (std::size_t i = 0; i < rest; ++i) add_multiple(v[i], t.q.row(k + 1 + i), w.data(), n);
        for (std::size_t i = 0; i < rest; ++i) {
            add_multiple(-beta * v[i], w.data(), t.q.row(k + 1 + i), n);
        }
        std::fill(w.begin(), w.end(), 0.0);
    }
    for (std::size_t i = 0; i < n; ++i) t.diagonal[i] = a.at(i, i);
    return t;
}

/// One implicit QR step with Wilkinson's shift on the rows and columns low..high.
void step(Tridiagonal& t, std::size_t low, std::size_t high) {
    auto& d = t.diagonal;
    auto& e = t.beside;
    const double half = 0.5 * (d[high - 1] - d[high]);
    const double last = e[high - 1];
    const double root = std::sqrt(half * half + last * last);
    double x = d[low] - d[high] + last * (last / (half + (half < 0.0 ? -root : root)));
    double z = e[low];
    for (std::size_t k = low; k < high; ++k) {
        const double radius = std::sqrt(x * x + z * z);
        if (radius == 0.0) break;
        const double c = x / radius, s = -z / radius;
        if (k > low) e[k - 1] = radius;
        const double a = d[k], b = d[k + 1], between = e[k];
        d[k] = c * c * a - 2.0 * c * s * between + s * s * b;
        d[k + 1] = s * s * a + 2.0 * c * s * between + c * c * b;
        e[k] = c * s * (a - b) + (c * c - s * s) * between;
        if (k + 1 < high) {
            z = -s * e[k + 1];
            e[k + 1] *= c;
        }
        x = e[k];
        rotate(c, s, t.q.row(k), t.q.row(k + 1), t.q.size);
    }
}

void diagonalize(Tridiagonal& t) {
    auto& d = t.diagonal;
    auto& e = t.beside;
    constexpr std::size_t kMostSteps = 60;  // for each eigenvalue; two or three are usual
    std::size_t left = kMostSteps * d.size();
    for (std::size_t high = d.size() - 1; high > 0 && left > 0;) {
        const auto negligible = [&](std::size_t i) {
            return std::fabs(e[i]) <= kEpsilon * (std::fabs(d[i]) + std::fabs(d[i + 1]));
        };
        if (negligible(high - 1)) {
            --high;
            continue;
        }
        std::size_t low = high - 1;
        while (low > 0 && !negligible(low - 1)) --low;
        poll();
        step(t, low, high);
        --left;
    }
}

}  // namespace

EigenSystem eigen_system(Square matrix) {
    const std::size_t n = matrix.size;
    double largest = 0.0;
    for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t j = 0; j <= i; ++j) {
            matrix.at(j, i) = matrix.at(i, j);
            largest = std::max(largest, std::fabs(matrix.at(i, j)));
        }
    }
    const double unit = largest > 0.0 ? largest : 1.0;  // squares must stay in range
    for (double& value : matrix.values) value /= unit;
    Tridiagonal t = tridiagonalize(matrix);
    diagonalize(t);
    std::vector<std::size_t> order(n);
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](auto a, auto b) { return t.diagonal[a] > t.diagonal[b]; });
    EigenSystem system{std::vector<double>(n), Square(n)};
    for (std::size_t k = 0; k < n; ++k) {
        system.values[k] = t.diagonal[order[k]] * unit;
        std::copy_n(t.q.row(order[k]), n, system.vectors.row(k));
    }
    return system;
}

bool cholesky(Square& matrix) {
    const std::size_t n = matrix.size;
    double largest = 0.0;
    for (std::size_t i = 0; i < n; ++i) largest = std::max(largest, matrix.at(i, i));
    const double rounding = kEpsilon * static_cast<double>(n) * largest;
    for (std::size_t i = 0; i < n; ++i) {
        if (i % kPollRows == 0) poll();
        double* row = matrix.row(i);
        for (std::size_t j = 0; j < i; ++j) {
            row[j] = (row[j] - dot(row, matrix.row(j), j)) / matrix.at(j, j);
        }
        const double pivot = row[i] - dot(row, row, i);
        if (!(pivot > rounding)) return false;
        row[i] = std::sqrt(pivot);
        std::fill(row + i + 1, row + n, 0.0);
    }
    return true;
}

void invert_lower(Square& lower) {
    const std::size_t n = lower.size;
    std::vector<double> sum(n);
    for (std::size_t i = 0; i < n; ++i) {
        if (i % kPollRows == 0) poll();
        double* row = lower.row(i);
        std::fill(sum.begin(), sum.end(), 0.0);
        for (std::size_t k = 0; k < i; ++k) add_multiple(row[k], lower.row(k), sum.data(), k + 1);
        for (std::size_t k = 0; k < i; ++k) row[k] = -sum[k] / row[i];
        row[i] = 1.0 / row[i];
    }
}

}  // namespace ad
