-- Duplicate files: files that came again with the same content, and that nothing in them counted twice.
--
-- A repeated file is read all the same: each of its containers must turn up as a duplicate, or in suspense. Files
-- without records may well be alike, and are left out, as are those that were backed out.
-- kind: law            tolerance: zero
--
-- source        network element
-- file_id       place of the repetition in collection order
-- file_name     its name
-- first_file    the name under which the content came first, and its place
-- flagged       the audit knows the file as a repetition
-- containers    containers in it
-- duplicate     of them, recognised as having come before
-- suspended     of them, unreadable the first time too
-- difference    containers that counted again; 1 at least when the repetition is not flagged
WITH copies AS (
    SELECT *, first_value(file_id) OVER same AS first_id, first_value(file_name) OVER same AS first_name
    FROM file_audit WHERE container_count > 0 AND file_id NOT IN (SELECT file_id FROM backed_out_file)
    WINDOW same AS (PARTITION BY sha256_hi, sha256_lo ORDER BY file_id)),
duplicates AS (SELECT file_id, count(*) AS n FROM duplicate GROUP BY file_id),
suspended AS (SELECT file_id, count(DISTINCT (record_offset, container_index)) AS n FROM suspense GROUP BY file_id)
SELECT source, c.file_id, file_name, first_name || ' (' || first_id || ')' AS first_file,
       state = 'duplicate_file' AND duplicate_of = first_id AS flagged, container_count AS containers,
       coalesce(d.n, 0) AS duplicate, coalesce(s.n, 0) AS suspended,
       greatest(container_count - coalesce(d.n, 0) - coalesce(s.n, 0),
                CASE WHEN state = 'duplicate_file' AND duplicate_of = first_id THEN 0 ELSE 1 END) AS difference
FROM copies c LEFT JOIN duplicates d ON d.file_id = c.file_id LEFT JOIN suspended s ON s.file_id = c.file_id
WHERE c.file_id <> first_id
ORDER BY c.file_id;
