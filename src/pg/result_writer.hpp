// Writes rows of anomaly_detection_results, a block at a time.
#pragma once

#include "boundary.hpp"

namespace ad::pg {

/// The columns that differ from row to row.
struct ResultRow {
    enum Column {
        RecordId,
        RecordKey,
        IsAnomaly,
        Score,
        Confidence,
        PValue,
        Threshold,
        Features,
        RawData,
        Explanation,
        Severity,
        kColumns
    };

    Datum values[kColumns];
    bool nulls[kColumns];
};

/// The columns that all rows of a run share.
struct ResultConstants {
    Datum source_table;
    Datum model_id;
    Datum algorithm;
    Datum run_id;
};

struct ResultWriter;

/// Makes a writer in the current memory context. To be called within SPI.
ResultWriter* open_results(Oid schema, const ResultConstants& constants);
/// Keeps a row, whose values must live until write_results; writes those before it if they are
/// many.
void add_result(ResultWriter* writer, const ResultRow& row);
/// Writes the kept rows.
void write_results(ResultWriter* writer);
void close_results(ResultWriter* writer);

}  // namespace ad::pg
