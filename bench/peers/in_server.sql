-- scikit-learn inside the server, as PL/Python offers it: rows come as dictionaries, the model lives
-- in the session.
CREATE EXTENSION plpython3u;

CREATE FUNCTION py_train(row_count integer) RETURNS void
LANGUAGE plpython3u AS $$
import numpy
from sklearn.ensemble import IsolationForest

names = ["f%d" % j for j in range(1, 11)]
rows = plpy.execute("SELECT %s FROM bench LIMIT %d" % (", ".join(names), row_count))
values = numpy.array([[row[name] for name in names] for row in rows])
GD["forest"] = IsolationForest(n_estimators=100, max_samples=256, random_state=0).fit(values)
$$;

CREATE FUNCTION py_score_batches(row_count integer, batch_size integer) RETURNS float8
LANGUAGE plpython3u AS $$
import numpy

names = ["f%d" % j for j in range(1, 11)]
cursor = plpy.cursor("SELECT %s FROM bench LIMIT %d" % (", ".join(names), row_count))
total = 0.0
while True:
    rows = cursor.fetch(batch_size)
    if not rows:
        return total
    values = numpy.array([[row[name] for name in names] for row in rows])
    total -= GD["forest"].score_samples(values).sum()
$$;

CREATE FUNCTION py_score(VARIADIC row_values float8[]) RETURNS float8
LANGUAGE plpython3u AS $$
return -GD["forest"].score_samples([row_values])[0]
$$;
