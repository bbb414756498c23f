-- File sequence gaps: numbers of a source's files that have not come.
--
-- Numbers count up by one and wrap where the stream says (file_sequence_modulo). A number is placed beside the file
-- collected before it, the short way round, so that late files fill their gap, and a wrap is none. Repeated files do
-- not count, but files without records do, alike as they may be. What is missing before the first or after the last file cannot be seen here.
-- kind: finding        tolerance: zero
--
-- source          network element
-- after_file      last file before the gap
-- before_file     first file after it
-- first_missing   first number that is missing, as the source counts
-- last_missing    last number
-- difference      how many files are missing
WITH files AS (
    SELECT source, file_id, file_name, file_sequence, coalesce(file_sequence_modulo, 0) AS modulo,
           lag(file_sequence) OVER (PARTITION BY source ORDER BY file_id) AS before
    FROM file_audit WHERE file_sequence IS NOT NULL AND (state <> 'duplicate_file' OR container_count = 0)),
stepped AS (
    SELECT *, CASE WHEN before IS NULL THEN file_sequence
                   WHEN modulo = 0 THEN file_sequence - before
                   -- The step in [-modulo / 2, modulo / 2).
                   ELSE ((file_sequence - before + modulo // 2) % modulo + modulo) % modulo - modulo // 2 END AS step
    FROM files),
placed AS (
    SELECT source, file_id, file_name, modulo, sum(step) OVER (PARTITION BY source ORDER BY file_id) AS place
    FROM stepped),
neighbours AS (
    SELECT *, lead(place) OVER ordered AS next_place, lead(file_name) OVER ordered AS next_file
    FROM placed WINDOW ordered AS (PARTITION BY source ORDER BY place, file_id))
SELECT source, file_name AS after_file, next_file AS before_file,
       CASE WHEN modulo = 0 THEN place + 1 ELSE ((place + 1) % modulo + modulo) % modulo END AS first_missing,
       CASE WHEN modulo = 0 THEN next_place - 1 ELSE ((next_place - 1) % modulo + modulo) % modulo END AS last_missing,
       next_place - place - 1 AS difference
FROM neighbours WHERE next_place - place > 1
ORDER BY source, place;
