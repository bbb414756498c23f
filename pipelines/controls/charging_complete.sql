-- Charging complete: every usage event that mediation committed was charged once, or suspended by charging.
--
-- Proves that nothing is lost or doubled between the two commits. Not zero while a run is under way: look at a cut.
-- What was charged in real time came in no usage block: see online_charged.sql.
-- kind: law            tolerance: zero
--
-- source        network element
-- blocks        events in usage blocks, those that were recycled once more for each time
-- rated         rated events
-- withdrawn     rated and backed out since
-- suspended     set aside by charging
-- units_in      seconds, octets and messages in the blocks, summed
-- units_out     the same, of the rated, the withdrawn and the suspended
-- difference    events that are missing (positive) or too many, or, if none, units
WITH moved AS (
    SELECT source, 'blocks' AS side, count(*) AS n, sum(quantity) AS units FROM usage GROUP BY source
    -- An odd revision takes the one before it back: it counts against it, its quantity negated already.
    UNION ALL SELECT source, 'rated', sum(1 - revision % 2 * 2), sum(quantity) FROM rated WHERE leg = 0 GROUP BY source
    UNION ALL SELECT source, 'withdrawn', count(*), sum(quantity) FROM withdrawn WHERE state = 'backed_out' GROUP BY source
    UNION ALL SELECT source, 'suspended', count(*), sum(quantity) FROM suspense
              WHERE stage = 'charge' AND record_type IS DISTINCT FROM 'command' GROUP BY source),
by_source AS (
    SELECT source,
           coalesce(sum(n) FILTER (side = 'blocks'), 0) AS blocks,
           coalesce(sum(n) FILTER (side = 'rated'), 0) AS rated,
           coalesce(sum(n) FILTER (side = 'withdrawn'), 0) AS withdrawn,
           coalesce(sum(n) FILTER (side = 'suspended'), 0) AS suspended,
           coalesce(sum(units) FILTER (side = 'blocks'), 0) AS units_in,
           coalesce(sum(units) FILTER (side <> 'blocks'), 0) AS units_out
    FROM moved WHERE source NOT IN (SELECT source FROM "grant")
    GROUP BY source)
SELECT *, CASE WHEN blocks <> rated + withdrawn + suspended THEN blocks - rated - withdrawn - suspended ELSE units_in - units_out END
       AS difference
FROM by_source ORDER BY source;
