// Scores of the detectors that look at neighbours, against numbers worked out by hand and, for the
// local outlier factor, a plain computation by its definition.
#include <numeric>

#include "testing.hpp"

namespace ad::test {
namespace {

/// In the units of the columns.
Model fit_raw(std::string_view algorithm, const Rows& rows, const Json& parameters) {
    return fit(
        request(algorithm, {{"parameters", parameters}, {"preprocess", {{"scale", "none"}}}}),
        rows);
}

Rows column(const std::vector<double>& values) {
    Rows rows;
    for (const double value : values) rows.push_back({value});
    return rows;
}

std::vector<double> knn(const std::vector<double>& training, const std::vector<double>& values,
                        const Json& parameters) {
    return score(fit_raw("knn", column(training), parameters), column(values));
}

using Scores = std::vector<double>;

// Distances of 3, a row of training, from the others: 2 3 4 12; of 4: 1 3 3 4 11.
TEST(Knn, Methods) {
    const Scores training{0, 1, 3, 7, 15};
    EXPECT_EQ(knn(training, {3, 4}, {{"n_neighbors", 3}}), (Scores{4, 3}));
    EXPECT_EQ(knn(training, {3, 4}, {{"n_neighbors", 3}, {"method", "mean"}}),
              (Scores{3, 7.0 / 3}));
    EXPECT_EQ(knn(training, {3, 4}, {{"n_neighbors", 3}, {"method", "median"}}), (Scores{3, 3}));
    EXPECT_EQ(knn(training, {3, 4}, {{"n_neighbors", 4}, {"method", "median"}}), (Scores{3.5, 3}));
    EXPECT_EQ(knn(training, {3, 4}, {{"n_neighbors", 1}, {"method", "median"}}), (Scores{2, 1}));
}

TEST(Knn, NoveltyLeavesNothingOut) {
    EXPECT_EQ(knn({0, 1, 3, 7}, {3, 4}, {{"n_neighbors", 1}, {"novelty", true}}), (Scores{0, 1}));
    EXPECT_EQ(knn({0, 1, 3, 7}, {3, 4}, {{"n_neighbors", 1}}), (Scores{2, 1}));
}

TEST(Knn, LeavesOutOneOfEqualRows) {
    EXPECT_EQ(knn({1, 1, 1, 5}, {1, 5}, {{"n_neighbors", 2}}), (Scores{0, 4}));
    EXPECT_EQ(knn({1, 1, 1, 5}, {1, 5}, {{"n_neighbors", 3}}), (Scores{4, 4}));
}

TEST(Knn, FewRows) {
    EXPECT_EQ(knn({0, 1, 3}, {3, 4}, {{"n_neighbors", 1000}}), (Scores{3, 3}));
    EXPECT_EQ(knn({2}, {2, 5}, {}), (Scores{0, 3}));
}

TEST(Knn, ContributionsAddUpToTheScore) {
    for (const auto method : {"largest", "mean", "median"}) {
        const auto rows = normal_rows(300, 4);
        const auto model = fit_raw("knn", rows, {{"method", method}, {"n_neighbors", 6}});
        const auto scores = score(model, rows);
        for (std::size_t i = 0; i < 300; i += 50) {
            double sum = 0.0;
            for (const auto& entry : explain(model, rows, i)) {
                sum += entry["contribution"].get<double>();
            }
            EXPECT_NEAR(sum, scores[i], 1e-12);
        }
    }
    // 3, 4 and 5
    const auto list = explain(fit_raw("knn", {{0, 0}, {50, 50}}, {{"n_neighbors", 1}}), {{3, 4}});
    EXPECT_EQ(list[0]["feature"], "f1");
    EXPECT_DOUBLE_EQ(list[0]["contribution"].get<double>(), 16.0 / 5);
    EXPECT_DOUBLE_EQ(list[1]["contribution"].get<double>(), 9.0 / 5);
}

TEST(Knn, ColumnsAreScaledUnlessToldOtherwise) {
    // of 0 and 1000 the mean is 500, the standard deviation 500
    EXPECT_EQ(score(fit(request("knn"), column({0, 1000})), column({0, 2000})), (Scores{2, 2}));
}

TEST(Knn, ReferenceIsCapped) {
    const auto rows = normal_rows(1000, 2);
    const auto all = fit_raw("knn", rows, Json::object());
    const auto few = fit_raw("knn", rows, {{"max_reference", 100}});
    EXPECT_LT(few.save().size() + 900 * 2 * sizeof(double), all.save().size() + 100);
    const auto more = score(few, rows);
    const auto less = score(all, rows);
    int nearer = 0;
    for (std::size_t i = 0; i < rows.size(); ++i) nearer += less[i] < more[i];
    EXPECT_GT(nearer, 990);
}

/// By the definition: neighbours by sorting, each density from its own.
class PlainLof {
  public:
    PlainLof(const Rows& rows, std::size_t k) : rows_(rows), k_(k) {}

    /// `self`: of the row, if it is one of the reference rows; else their number.
    double factor(const std::vector<double>& row, std::size_t self) const {
        double sum = 0.0;
        for (const std::size_t o : near(row, self)) sum += density(rows_[o], o);
        return sum / static_cast<double>(k_) / density(row, self);
    }

  private:
    static double distance(const std::vector<double>& a, const std::vector<double>& b) {
        double sum = 0.0;
        for (std::size_t j = 0; j < a.size(); ++j) sum += (a[j] - b[j]) * (a[j] - b[j]);
        return std::sqrt(sum);
    }

    std::vector<std::size_t> near(const std::vector<double>& row, std::size_t self) const {
        std::vector<std::size_t> order;
        for (std::size_t i = 0; i < rows_.size(); ++i) {
            if (i != self) order.push_back(i);
        }
        std::sort(order.begin(), order.end(), [&](auto a, auto b) {
            return distance(row, rows_[a]) < distance(row, rows_[b]);
        });
        order.resize(k_);
        return order;
    }

    double density(const std::vector<double>& row, std::size_t self) const {
        double sum = 0.0;
        for (const std::size_t o : near(row, self)) {
            const double radius = distance(rows_[o], rows_[near(rows_[o], o).back()]);
            sum += std::max(radius, distance(row, rows_[o]));
        }
        return 1.0 / (sum / static_cast<double>(k_) + 1e-10);
    }

    const Rows& rows_;
    std::size_t k_;
};

TEST(LocalOutlierFactor, IsWhatItsDefinitionSays) {
    const auto rows = normal_rows(90, 3);
    const auto others = normal_rows(20, 3, 2);
    for (const std::size_t k : {1, 5, 89}) {
        const PlainLof plain(rows, k);
        const auto model = fit_raw("local_outlier_factor", rows, {{"n_neighbors", k}});
        const auto own = score(model, rows);
        for (std::size_t i = 0; i < 20; ++i) {
            EXPECT_NEAR(own[i], plain.factor(rows[i], i), 1e-9);
            EXPECT_NEAR(score(model, others)[i], plain.factor(others[i], rows.size()), 1e-9);
        }
        if (k == 89) continue;
        const auto novelty =
            fit_raw("local_outlier_factor", rows, {{"n_neighbors", k}, {"novelty", true}});
        EXPECT_NEAR(score(novelty, rows)[3], plain.factor(rows[3], rows.size()), 1e-4);
    }
}

TEST(LocalOutlierFactor, OfDuplicates) {
    const auto model =
        fit_raw("local_outlier_factor", column({0, 0, 0, 0, 1}), {{"n_neighbors", 2}});
    const auto scores = score(model, column({0, 1, 0.5}));
    EXPECT_DOUBLE_EQ(scores[0], 1.0);
    EXPECT_DOUBLE_EQ(scores[1], 1e10 * (1 + 1e-10));
    EXPECT_DOUBLE_EQ(scores[2], 1e10 * (0.5 + 1e-10));
}

TEST(LocalOutlierFactor, OfOneRow) {
    const auto model = fit_raw("local_outlier_factor", column({2}), Json::object());
    EXPECT_DOUBLE_EQ(score(model, column({2}))[0], 1.0);
    EXPECT_GT(score(model, column({3}))[0], 1e9);
}

TEST(LocalOutlierFactor, ContributionsAddUpToTheScore) {
    auto rows = normal_rows(300, 4);
    rows[7][2] = 9.0;
    const auto model = fit_raw("local_outlier_factor", rows, Json::object());
    const auto list = explain(model, rows, 7);
    double sum = 0.0;
    for (const auto& entry : list) sum += entry["contribution"].get<double>();
    EXPECT_EQ(list[0]["feature"], "f2");
    EXPECT_NEAR(sum, score(model, rows)[7], 1e-6);
    EXPECT_EQ(model.predict(0.0).threshold, 1.5);
}

/// Every estimator draws all rows.
Model fit_inne(const std::vector<double>& values) {
    return fit_raw("inne", column(values), {{"n_estimators", 3}, {"max_samples", 1.0}});
}

// Balls: around 0 and 1 of radius 1, which are each other's neighbours; around 5 of radius 4, whose
// neighbour is 1.
TEST(Inne, IsolatesByTheSmallestBall) {
    const auto model = fit_inne({0, 1, 5});
    const auto scores = score(model, column({0.5, 1.5, 3, 9, 9.5, -2}));
    const double of_large = 1.0 - 1.0 / 16.0;
    EXPECT_EQ(scores[0], 0.0);
    EXPECT_EQ(scores[1], 0.0);
    EXPECT_NEAR(scores[2], of_large, 1e-15);
    EXPECT_NEAR(scores[3], of_large, 1e-15);
    EXPECT_EQ(scores[4], 1.0);
    EXPECT_EQ(scores[5], 1.0);
    EXPECT_NEAR(explain(model, {{3}})[0]["contribution"].get<double>(), of_large, 1e-15);
    EXPECT_DOUBLE_EQ(explain(model, {{9.5}})[0]["contribution"].get<double>(), 1.0);
    EXPECT_EQ(explain(model, {{5}})[0]["contribution"].get<double>(), 0.0);  // no column differs
}

TEST(Inne, OneRowAndDuplicates) {
    EXPECT_EQ(score(fit_inne({2}), column({2, 3})), (Scores{0, 1}));
    EXPECT_EQ(score(fit_inne({2, 2, 2}), column({2, 3})), (Scores{0, 1}));
}

TEST(Inne, SamplesAreACountAFractionOrAuto) {
    const auto rows = normal_rows(100, 2);
    const auto size = [&](const Json& samples) {
        const Json parameters{{"n_estimators", 10}, {"max_samples", samples}};
        return fit_raw("inne", rows, parameters).save().size();
    };
    EXPECT_NEAR(static_cast<double>(size("auto")), static_cast<double>(size(8)), 10.0);
    EXPECT_NEAR(static_cast<double>(size(0.2)), static_cast<double>(size(20)), 10.0);
    EXPECT_GT(size(20), size(8) + 10 * 12 * 4 * sizeof(double) - 10);
}

/// A detector's own bytes, without the checksum of a model around them.
std::string payload_of(const Algorithm& algorithm, const Rows& rows) {
    Matrix matrix(rows.size(), rows[0].size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
        for (std::size_t j = 0; j < rows[i].size(); ++j) matrix.column(j)[i] = rows[i][j];
    }
    auto detector = algorithm.make();
    const Json few = algorithm.name == "inne" ? Json{{"n_estimators", 3}} : Json::object();
    detector->fit({.rows = matrix.view()}, Params(algorithm.params, few, algorithm.name),
                  Random(1));
    Writer out;
    detector->save(out);
    return out.take();
}

// What passes `load` scores and explains any row, and the sanitizers have nothing to say.
TEST(NeighbourDetectors, ReadHostileBytes) {
    const Rows rows = normal_rows(30, 2);
    const double values[] = {kLargestValue, -kLargestValue, 0.0, rows[0][0], rows[0][1]};
    const double* columns[] = {values, values};
    for (const Algorithm* algorithm : {&kKnn, &kLocalOutlierFactor, &kInne}) {
        const std::string bytes = payload_of(*algorithm, rows);
        const auto load = [&](std::string_view from) {
            auto detector = algorithm->make();
            Reader in(from);
            detector->load(in, 2);
            in.end();
            return detector;
        };
        for (std::size_t size = 0; size < bytes.size(); ++size) {
            EXPECT_THROW(load(std::string_view(bytes).substr(0, size)), CorruptModel);
        }
        int loaded = 0;
        for (std::size_t at = 0; at < bytes.size(); ++at) {
            for (const int change : {0x01, 0x80, 0xff}) {
                std::string changed = bytes;
                changed[at] = static_cast<char>(changed[at] ^ change);
                try {
                    const auto detector = load(changed);
                    double scores[5];
                    detector->score({columns, 2, 5}, scores);
                    for (const double score : scores) EXPECT_TRUE(std::isfinite(score));
                    detector->explain({columns, 2, 5}, 0, scores);
                    EXPECT_TRUE(std::isfinite(scores[0]) && std::isfinite(scores[1]));
                    ++loaded;
                } catch (const CorruptModel&) {
                }
            }
        }
        EXPECT_GT(loaded, 100);
    }
}

}  // namespace
}  // namespace ad::test
