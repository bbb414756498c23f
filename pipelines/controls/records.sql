-- Records and octets: every record of every file is in the ledger, and records tile their files without a gap.
--
-- The second count of law 3: it ties records to containers. Octets: header and records make up the whole file, and
-- what the tables say of their records' lengths is what the file has. A stretch that could not be read at first and
-- was recycled counts as the one record that it was, whatever was found in it later.
-- kind: law            tolerance: zero
--
-- source             network element
-- records            records that reading found in its files
-- records_in_ledger  different records (file, offset) that some table has a container of
-- octets             octets of those records in the files
-- octets_in_ledger   octets of those records in the tables
-- loose_octets       octets of files that are neither header nor record
-- difference         records, or, if none differ, octets
WITH origins AS (
    SELECT source, file_id, record_offset, record_length FROM usage
    UNION SELECT source, file_id, record_offset, record_length FROM suspense
          WHERE record_type IS DISTINCT FROM 'command' AND source NOT IN (SELECT source FROM "grant")
    UNION SELECT source, file_id, record_offset, record_length FROM duplicate
    UNION SELECT source, file_id, record_offset, record_length FROM filtered
    UNION SELECT source, file_id, record_offset, record_length FROM matched
    UNION SELECT source, file_id, record_offset, record_length FROM merged
    UNION SELECT source, file_id, record_offset, record_length FROM held
    UNION SELECT source, file_id, record_offset, record_length FROM awaiting WHERE NOT decided
    UNION SELECT source, file_id, record_offset, record_length FROM withdrawn),
stretches AS (
    SELECT DISTINCT file_id, record_offset, record_length FROM settled
    WHERE action = 'recycled' AND stage IN ('frame', 'decode')),
placed AS (
    SELECT DISTINCT o.source, o.file_id, coalesce(s.record_offset, o.record_offset) AS record_offset,
           coalesce(s.record_length, o.record_length) AS record_length
    FROM origins o LEFT JOIN stretches s ON s.file_id = o.file_id AND o.record_offset >= s.record_offset
         AND o.record_offset < s.record_offset + s.record_length),
found AS (
    SELECT source, count(*) AS records, sum(record_length) AS octets FROM placed GROUP BY source),
declared AS (
    SELECT source, sum(record_count) AS records, sum(record_octets) AS octets,
           sum(file_octets - header_octets - record_octets) AS loose
    FROM file_audit WHERE source <> 'commands' GROUP BY source),
both_sides AS (
    SELECT coalesce(d.source, f.source) AS source, coalesce(d.records, 0) AS records,
           coalesce(f.records, 0) AS records_in_ledger, coalesce(d.octets, 0) AS octets,
           coalesce(f.octets, 0) AS octets_in_ledger, coalesce(d.loose, 0) AS loose_octets
    FROM declared d FULL JOIN found f ON f.source = d.source)
SELECT *, CASE WHEN records <> records_in_ledger THEN records - records_in_ledger
               WHEN octets <> octets_in_ledger THEN octets - octets_in_ledger
               ELSE loose_octets END AS difference
FROM both_sides ORDER BY source;
