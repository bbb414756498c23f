-- The ledger in stock DuckDB 2.0; no extension, no server. In the ledger's folder:
--
--     duckdb
--     .read ledger.sql
--     SELECT service, count(*), sum(charge_nanos) FROM rated GROUP BY ALL;
--
-- From elsewhere:      SET VARIABLE ledger_folder = '/path/to/ledger';   before .read
-- As of a cut:         SET VARIABLE as_of = 3;                           before .read; see ledger_cuts
-- After new commits:   .read it again.
--
-- Every table is a view over exactly the files that are live, whether it has any or not. Ids of 128 bits come as two
-- unsigned halves and as 32 hex digits (event_id). Money is in nano-units: charge_nanos / 1000000000 is money.

SET VARIABLE ledger_folder = coalesce(getvariable('ledger_folder'), '.');

-- The log. read_text and one from_json, not read_json, which is 25 times slower on many small files.
SET VARIABLE log_files = (
    SELECT list_prepend(getvariable('ledger_folder') || '/_schema/none.json', coalesce(list(file), []))
    FROM glob(getvariable('ledger_folder') || '/_log/*/[0-9]*.json'));

-- In two steps: parsing while files are being read takes six times as long.
CREATE OR REPLACE TEMP TABLE ledger_log AS SELECT content FROM read_text(getvariable('log_files'));

CREATE OR REPLACE TABLE ledger_entries AS
WITH parsed AS MATERIALIZED (
    SELECT from_json(content, '{"stream": "VARCHAR", "version": "BIGINT", "op": "VARCHAR", "owner": "VARCHAR",
               "epoch": "BIGINT", "committed_at": "VARCHAR", "previous": "VARCHAR", "positions": "JSON",
               "state": "JSON", "reference": "JSON", "removed": ["VARCHAR"],
               "added": [{"path": "VARCHAR", "table": "VARCHAR", "kind": "VARCHAR", "rows": "BIGINT",
                          "octets": "BIGINT", "sha256": "VARCHAR", "min_time_us": "BIGINT", "max_time_us": "BIGINT",
                          "sums": "JSON"}]}') AS entry,
           sha256(content) AS sha256
    FROM ledger_log)
SELECT unnest(entry), sha256 FROM parsed WHERE entry.stream IS NOT NULL;

SET VARIABLE cut_files = (
    SELECT list_prepend(getvariable('ledger_folder') || '/_schema/none.json', coalesce(list(file), []))
    FROM glob(getvariable('ledger_folder') || '/_cuts/[0-9]*.json'));

CREATE OR REPLACE TABLE ledger_cuts AS
SELECT CAST(content ->> '$.number' AS BIGINT) AS number,
       content ->> '$.label' AS label,
       content ->> '$.made_at' AS made_at,
       content -> '$.streams' AS streams
FROM read_text(getvariable('cut_files'))
WHERE content ->> '$.number' IS NOT NULL;

-- Up to which entry each stream is read. An unknown cut is an error, not an empty ledger.
CREATE OR REPLACE TABLE ledger_streams AS
SELECT stream, CASE
           WHEN getvariable('as_of') IS NULL THEN max(version)
           WHEN (SELECT count(*) FROM ledger_cuts WHERE number = CAST(getvariable('as_of') AS BIGINT)) = 0
               THEN error('no cut has the number in variable as_of; see ledger_cuts')
           ELSE coalesce((SELECT CAST(streams -> stream ->> 'version' AS BIGINT) FROM ledger_cuts
                          WHERE number = CAST(getvariable('as_of') AS BIGINT)), 0)
       END AS version
FROM ledger_entries GROUP BY stream;

-- Every file that an entry adds; live: not removed again up to the version that is read.
CREATE OR REPLACE TABLE ledger_files AS
WITH adding AS (
    SELECT stream, version, unnest(added) AS file, generate_subscripts(added, 1) AS place FROM ledger_entries),
removing AS (
    SELECT stream, version, unnest(removed) AS path FROM ledger_entries)
SELECT a.stream, a.version, a.place, a.file.path AS path, a.file."table" AS table_name, a.file.kind AS kind,
       a.file.rows AS rows, a.file.octets AS octets, a.file.sha256 AS sha256,
       make_timestamptz(a.file.min_time_us) AS min_time, make_timestamptz(a.file.max_time_us) AS max_time,
       a.file.sums AS sums, r.version AS removed_at_version,
       a.version <= s.version AND (r.version IS NULL OR r.version > s.version) AS live
FROM adding a
JOIN ledger_streams s ON s.stream = a.stream
LEFT JOIN removing r ON r.stream = a.stream AND r.path = a.file.path;

-- views --
SET VARIABLE files_balance = (SELECT list_prepend(getvariable('ledger_folder') || '/_schema/balance.parquet', coalesce(list(getvariable('ledger_folder') || '/' || path ORDER BY stream, version, place), []))
    FROM ledger_files WHERE live AND kind = 'table' AND table_name = 'balance');
CREATE OR REPLACE VIEW "balance" AS SELECT *
    FROM read_parquet(getvariable('files_balance'), union_by_name = true);

SET VARIABLE files_duplicate = (SELECT list_prepend(getvariable('ledger_folder') || '/_schema/duplicate.parquet', coalesce(list(getvariable('ledger_folder') || '/' || path ORDER BY stream, version, place), []))
    FROM ledger_files WHERE live AND kind = 'table' AND table_name = 'duplicate');
CREATE OR REPLACE VIEW "duplicate" AS SELECT *,
    lower(lpad(hex(event_id_hi), 16, '0') || lpad(hex(event_id_lo), 16, '0')) AS event_id,
    lower(lpad(hex(session_hi), 16, '0') || lpad(hex(session_lo), 16, '0')) AS session
    FROM read_parquet(getvariable('files_duplicate'), union_by_name = true);

SET VARIABLE files_file_audit = (SELECT list_prepend(getvariable('ledger_folder') || '/_schema/file_audit.parquet', coalesce(list(getvariable('ledger_folder') || '/' || path ORDER BY stream, version, place), []))
    FROM ledger_files WHERE live AND kind = 'table' AND table_name = 'file_audit');
CREATE OR REPLACE VIEW "file_audit" AS SELECT *,
    lower(lpad(hex(sha256_hi), 16, '0') || lpad(hex(sha256_lo), 16, '0')) AS sha256
    FROM read_parquet(getvariable('files_file_audit'), union_by_name = true);

SET VARIABLE files_filtered = (SELECT list_prepend(getvariable('ledger_folder') || '/_schema/filtered.parquet', coalesce(list(getvariable('ledger_folder') || '/' || path ORDER BY stream, version, place), []))
    FROM ledger_files WHERE live AND kind = 'table' AND table_name = 'filtered');
CREATE OR REPLACE VIEW "filtered" AS SELECT *,
    lower(lpad(hex(event_id_hi), 16, '0') || lpad(hex(event_id_lo), 16, '0')) AS event_id,
    lower(lpad(hex(session_hi), 16, '0') || lpad(hex(session_lo), 16, '0')) AS session
    FROM read_parquet(getvariable('files_filtered'), union_by_name = true);

SET VARIABLE files_held = (SELECT list_prepend(getvariable('ledger_folder') || '/_schema/held.parquet', coalesce(list(getvariable('ledger_folder') || '/' || path ORDER BY stream, version, place), []))
    FROM ledger_files WHERE live AND kind = 'table' AND table_name = 'held');
CREATE OR REPLACE VIEW "held" AS SELECT *,
    lower(lpad(hex(event_id_hi), 16, '0') || lpad(hex(event_id_lo), 16, '0')) AS event_id,
    lower(lpad(hex(session_hi), 16, '0') || lpad(hex(session_lo), 16, '0')) AS session
    FROM read_parquet(getvariable('files_held'), union_by_name = true);

SET VARIABLE files_matched = (SELECT list_prepend(getvariable('ledger_folder') || '/_schema/matched.parquet', coalesce(list(getvariable('ledger_folder') || '/' || path ORDER BY stream, version, place), []))
    FROM ledger_files WHERE live AND kind = 'table' AND table_name = 'matched');
CREATE OR REPLACE VIEW "matched" AS SELECT *,
    lower(lpad(hex(event_id_hi), 16, '0') || lpad(hex(event_id_lo), 16, '0')) AS event_id,
    lower(lpad(hex(session_hi), 16, '0') || lpad(hex(session_lo), 16, '0')) AS session,
    lower(lpad(hex(matched_event_hi), 16, '0') || lpad(hex(matched_event_lo), 16, '0')) AS matched_event
    FROM read_parquet(getvariable('files_matched'), union_by_name = true);

SET VARIABLE files_merged = (SELECT list_prepend(getvariable('ledger_folder') || '/_schema/merged.parquet', coalesce(list(getvariable('ledger_folder') || '/' || path ORDER BY stream, version, place), []))
    FROM ledger_files WHERE live AND kind = 'table' AND table_name = 'merged');
CREATE OR REPLACE VIEW "merged" AS SELECT *,
    lower(lpad(hex(event_id_hi), 16, '0') || lpad(hex(event_id_lo), 16, '0')) AS event_id
    FROM read_parquet(getvariable('files_merged'), union_by_name = true);

SET VARIABLE files_posting = (SELECT list_prepend(getvariable('ledger_folder') || '/_schema/posting.parquet', coalesce(list(getvariable('ledger_folder') || '/' || path ORDER BY stream, version, place), []))
    FROM ledger_files WHERE live AND kind = 'table' AND table_name = 'posting');
CREATE OR REPLACE VIEW "posting" AS SELECT *,
    lower(lpad(hex(movement_hi), 16, '0') || lpad(hex(movement_lo), 16, '0')) AS movement
    FROM read_parquet(getvariable('files_posting'), union_by_name = true);

SET VARIABLE files_rated = (SELECT list_prepend(getvariable('ledger_folder') || '/_schema/rated.parquet', coalesce(list(getvariable('ledger_folder') || '/' || path ORDER BY stream, version, place), []))
    FROM ledger_files WHERE live AND kind = 'table' AND table_name = 'rated');
CREATE OR REPLACE VIEW "rated" AS SELECT *,
    lower(lpad(hex(event_id_hi), 16, '0') || lpad(hex(event_id_lo), 16, '0')) AS event_id,
    lower(lpad(hex(session_hi), 16, '0') || lpad(hex(session_lo), 16, '0')) AS session
    FROM read_parquet(getvariable('files_rated'), union_by_name = true);

SET VARIABLE files_suspense = (SELECT list_prepend(getvariable('ledger_folder') || '/_schema/suspense.parquet', coalesce(list(getvariable('ledger_folder') || '/' || path ORDER BY stream, version, place), []))
    FROM ledger_files WHERE live AND kind = 'table' AND table_name = 'suspense');
CREATE OR REPLACE VIEW "suspense" AS SELECT *,
    lower(lpad(hex(event_id_hi), 16, '0') || lpad(hex(event_id_lo), 16, '0')) AS event_id,
    lower(lpad(hex(session_hi), 16, '0') || lpad(hex(session_lo), 16, '0')) AS session
    FROM read_parquet(getvariable('files_suspense'), union_by_name = true);

SET VARIABLE files_usage = (SELECT list_prepend(getvariable('ledger_folder') || '/_schema/usage.parquet', coalesce(list(getvariable('ledger_folder') || '/' || path ORDER BY stream, version, place), []))
    FROM ledger_files WHERE live AND kind = 'table' AND table_name = 'usage');
CREATE OR REPLACE VIEW "usage" AS SELECT *,
    lower(lpad(hex(event_id_hi), 16, '0') || lpad(hex(event_id_lo), 16, '0')) AS event_id,
    lower(lpad(hex(session_hi), 16, '0') || lpad(hex(session_lo), 16, '0')) AS session
    FROM read_parquet(getvariable('files_usage'), union_by_name = true);
