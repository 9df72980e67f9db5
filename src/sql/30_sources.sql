-- Sources: which columns are features, what identifies a row, how a query names them.
--
-- Public functions that take a where_clause are thin SQL wrappers, bound to their objects when this
-- script runs. They hand the caller's search_path to a PL/pgSQL function whose own is pinned; that
-- one puts the caller's back for the query over the source only.

CREATE FUNCTION _ad_source(source regclass) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    relation pg_class;
    nsp name;
BEGIN
    SELECT * INTO relation FROM pg_class WHERE oid = source;
    IF source IS NULL THEN
        RAISE EXCEPTION 'source must not be null'
            USING ERRCODE = 'null_value_not_allowed', HINT = 'Name a table or a view.';
    ELSIF relation.oid IS NULL THEN
        RAISE EXCEPTION 'relation with OID % does not exist', source::oid
            USING ERRCODE = 'undefined_table';
    ELSIF relation.relkind NOT IN ('r', 'p', 'v', 'm', 'f') THEN
        RAISE EXCEPTION '"%" is not a table or view', relation.relname
            USING ERRCODE = 'wrong_object_type',
                  HINT = 'A source is a table, partitioned table, view, materialized view or foreign table.';
    END IF;
    SELECT nspname INTO nsp FROM pg_namespace WHERE oid = relation.relnamespace;
    RETURN format('%I.%I', nsp, relation.relname);
END
$$;
COMMENT ON FUNCTION _ad_source(regclass) IS 'quoted name of a source with its schema, as results record it';

CREATE FUNCTION _ad_row_of(source regclass) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
    SELECT format('COALESCE(%I.*, NULL)', relname) FROM pg_class WHERE oid = source
$$;
COMMENT ON FUNCTION _ad_row_of(regclass) IS
'expression for the whole row of a source, safe from a column that has the name of the source';

CREATE FUNCTION _ad_has_heirs(source regclass) RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
BEGIN
    RETURN EXISTS (SELECT FROM pg_class c JOIN pg_inherits h ON h.inhparent = c.oid WHERE c.oid = source AND c.relkind = 'r');
END
$$;
COMMENT ON FUNCTION _ad_has_heirs(regclass) IS
'whether other tables inherit from a table: then no index of its own makes its rows unique';

CREATE FUNCTION _ad_key_columns(source regclass) RETURNS text[]
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT coalesce(array_agg(a.attname::text ORDER BY array_position(i.indkey::int2[], a.attnum)), '{}')
        FROM pg_index i
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
        -- that of a partitioned table is not valid until every partition has one
        WHERE i.indrelid = source AND i.indisprimary AND i.indisvalid AND NOT _ad_has_heirs(source));
END
$$;
COMMENT ON FUNCTION _ad_key_columns(regclass) IS 'columns of the primary key of a source, or none';

CREATE FUNCTION _ad_is_unique(source regclass, keys text[]) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
    SELECT NOT _ad_has_heirs(source) AND EXISTS (
        SELECT FROM pg_index i
        WHERE i.indrelid = source AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL
          AND i.indnkeyatts = cardinality(keys)
          -- an expression has no column, another collation or operator class another equality
          AND NOT EXISTS (
              SELECT FROM generate_series(0, i.indnkeyatts - 1) n
              LEFT JOIN pg_attribute a ON a.attrelid = source AND a.attnum = i.indkey[n] AND a.attnotnull AND a.attname = ANY (keys)
                                      AND a.attcollation = i.indcollation[n]
              LEFT JOIN pg_opclass o ON o.oid = i.indclass[n] AND o.opcdefault
              WHERE a.attnum IS NULL OR o.oid IS NULL))
$$;
COMMENT ON FUNCTION _ad_is_unique(regclass, text[]) IS
'whether a unique index shows that no two rows of a source are equal in these columns, and none is null there';

CREATE FUNCTION _ad_record_key(source regclass, id_column text) RETURNS text[]
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    keys text[];
BEGIN
    IF id_column IS NOT NULL THEN
        IF NOT EXISTS (SELECT FROM pg_attribute
                       WHERE attrelid = source AND attname = id_column AND attnum > 0 AND NOT attisdropped) THEN
            RAISE EXCEPTION 'column "%" of relation % does not exist', id_column, source
                USING ERRCODE = 'undefined_column', HINT = 'Name a column that identifies the rows as "id_column".';
        END IF;
        RETURN ARRAY[id_column];
    END IF;
    keys := _ad_key_columns(source);
    IF cardinality(keys) = 0 THEN
        RAISE EXCEPTION 'relation % has no primary key to identify its rows', source
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Name a column that identifies the rows with options => ''{"id_column": "..."}''.';
    END IF;
    RETURN keys;
END
$$;
COMMENT ON FUNCTION _ad_record_key(regclass, text) IS 'columns that identify the rows of a source; an error if there are none';

CREATE FUNCTION _ad_features(
    source regclass, feature_columns text[], argument text DEFAULT 'feature_columns', excluded text[] DEFAULT '{}'
) RETURNS text[]
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    feature text;
    found pg_attribute;
    features text[];
BEGIN
    PERFORM _ad_source(source);
    IF feature_columns IS NULL THEN
        SELECT array_agg(attname::text ORDER BY attnum) INTO features
        FROM pg_attribute
        WHERE attrelid = source AND attnum > 0 AND NOT attisdropped
          AND _ad_feature_kind(atttypid) IS NOT NULL
          AND attname <> ALL (_ad_key_columns(source) || excluded);
        IF features IS NULL THEN
            RAISE EXCEPTION 'relation % has no column that can be a feature', source
                USING ERRCODE = 'invalid_parameter_value',
                      HINT = 'Features are numbers, booleans, dates and times, or categories (text, enum, uuid, network addresses).';
        END IF;
        RETURN features;
    END IF;
    IF cardinality(feature_columns) = 0 OR array_ndims(feature_columns) > 1 THEN
        RAISE EXCEPTION '% must be a list of at least one column', argument
            USING ERRCODE = 'invalid_parameter_value', HINT = CASE argument
                WHEN 'feature_columns' THEN 'Null stands for every column that can be a feature.' ELSE 'Leave it out for one model of all rows.' END;
    END IF;
    FOREACH feature IN ARRAY feature_columns LOOP
        SELECT * INTO found FROM pg_attribute
        WHERE attrelid = source AND attname = feature AND attnum > 0 AND NOT attisdropped;
        IF feature IS NULL THEN
            RAISE EXCEPTION '% must not contain null', argument
                USING ERRCODE = 'null_value_not_allowed', HINT = CASE argument
                    WHEN 'feature_columns' THEN 'Null in place of the list stands for every column that can be a feature.' ELSE 'Name columns.' END;
        ELSIF found.attname IS NULL THEN
            RAISE EXCEPTION 'column "%" of relation % does not exist', feature, source
                USING ERRCODE = 'undefined_column', HINT = format('The columns that can be features are: %s.', (
                    SELECT coalesce(string_agg(quote_ident(attname), ', ' ORDER BY attnum), 'none') FROM pg_attribute
                    WHERE attrelid = source AND attnum > 0 AND NOT attisdropped AND _ad_feature_kind(atttypid) IS NOT NULL));
        ELSIF _ad_feature_kind(found.atttypid) IS NULL THEN
            RAISE EXCEPTION 'column "%" of type % cannot be a feature', feature, format_type(found.atttypid, found.atttypmod)
                USING ERRCODE = 'datatype_mismatch',
                      HINT = 'Features are numbers, booleans, dates and times, or categories (text, enum, uuid, network addresses).';
        ELSIF feature = ANY (features) THEN
            RAISE EXCEPTION 'column "%" is named twice in %', feature, argument
                USING ERRCODE = 'duplicate_column', HINT = 'Name each column once.';
        END IF;
        features := features || feature;
    END LOOP;
    RETURN features;
END
$$;
COMMENT ON FUNCTION _ad_features(regclass, text[], text, text[]) IS
'checked feature columns; null stands for every usable column but the primary key and those that are excluded';

CREATE FUNCTION _ad_column_type(source regclass, column_name text) RETURNS regtype
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    found oid := (SELECT a.atttypid FROM pg_attribute a
                  WHERE a.attrelid = source AND a.attname = column_name AND a.attnum > 0 AND NOT a.attisdropped);
BEGIN
    PERFORM _ad_source(source);
    IF found IS NULL THEN
        RAISE EXCEPTION 'column "%" of relation % does not exist', column_name, source
            USING ERRCODE = 'undefined_column';
    END IF;
    WHILE (SELECT t.typtype FROM pg_type t WHERE t.oid = found) = 'd' LOOP
        found := (SELECT t.typbasetype FROM pg_type t WHERE t.oid = found);
    END LOOP;
    RETURN found;
END
$$;
COMMENT ON FUNCTION _ad_column_type(regclass, text) IS 'type of a column of a source, of a domain its base type';

CREATE FUNCTION _ad_label(source regclass, label_column text) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
DECLARE
    type regtype;
    label text;
BEGIN
    IF label_column IS NULL THEN
        RAISE EXCEPTION 'label_column must not be null'
            USING ERRCODE = 'null_value_not_allowed', HINT = 'Name the column that says which rows are known anomalies.';
    END IF;
    type := _ad_column_type(source, label_column);
    label := (SELECT format('%I.%I', relname, label_column) FROM pg_class WHERE oid = source);
    IF type = 'boolean'::regtype THEN
        RETURN label;
    ELSIF type IN ('smallint'::regtype, 'integer'::regtype, 'bigint'::regtype) THEN
        RETURN format('(%s OPERATOR(pg_catalog.<>) ''0'')', label);
    ELSIF type IN ('real'::regtype, 'double precision'::regtype, 'numeric'::regtype) THEN
        RETURN format('CASE WHEN %1$s OPERATOR(pg_catalog.<>) ''NaN'' THEN %1$s OPERATOR(pg_catalog.<>) ''0'' END', label);
    END IF;
    RAISE EXCEPTION 'label_column "%" is of type %, neither boolean nor a number', label_column, type
        USING ERRCODE = 'datatype_mismatch', HINT = 'A label is true or not 0 for a known anomaly, null where nothing is known.';
END
$$;
COMMENT ON FUNCTION _ad_label(regclass, text) IS
'boolean expression for a column of labels: true for known anomalies, null where nothing is known';

CREATE FUNCTION _ad_identity(source regclass) RETURNS text[]
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
    SELECT CASE
        WHEN cardinality(_ad_key_columns(source)) > 0 THEN _ad_key_columns(source)
        WHEN relkind IN ('r', 'm') AND NOT relhassubclass THEN ARRAY['ctid']
        WHEN relkind IN ('r', 'p') THEN ARRAY['tableoid', 'ctid']
        ELSE '{}'
    END
    FROM pg_class WHERE oid = source
$$;
COMMENT ON FUNCTION _ad_identity(regclass) IS
'columns that identify a row for sampling: primary key, else its place in the table, else none';

CREATE FUNCTION _ad_query_source(query text, caller_path text, OUT result bytea)
LANGUAGE plpgsql
SET search_path = pg_catalog, @extschema@, pg_temp
AS $$
BEGIN
    PERFORM set_config('search_path', caller_path, true);
    EXECUTE query INTO result;
END
$$;
COMMENT ON FUNCTION _ad_query_source(text, text) IS
'runs a query that returns one model, with the search_path of the caller';

