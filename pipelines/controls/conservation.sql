-- Conservation: every usage container that came in is accounted for, per source.
--
-- Proves law 3: in + recycled = rated + waiting + suspended + duplicate + filtered + matched + merged + held +
-- withdrawn.
-- What was charged in real time came in no container: see online_charged.sql.
-- Counts containers, the unit that can be priced on its own: a call, a message, one rating group of one partial.
-- kind: law            tolerance: zero
--
-- source        network element; the last row, source NULL, is the total
-- records       records in its files, repeated files included
-- containers    containers in those records
-- recycled      containers taken up again from suspense
-- rated         priced, each once
-- waiting       in a usage block that is not charged yet: none once a run has ended (charging_complete.sql)
-- suspended     set aside with a reason, those that were recycled or written off later included
-- duplicate     came before with the same content
-- filtered      not to be charged: witnesses, attempts, roles
-- matched       charged online already
-- merged        went into another container's event
-- held          wait for the rest of their session, or for online usage of it
-- withdrawn     of a delivery that was backed out: no longer rated or held
-- difference    must be zero
WITH counted AS (
    SELECT source, 'containers' AS class, sum(container_count) AS n FROM file_audit GROUP BY source
    UNION ALL SELECT source, 'records', sum(record_count) FROM file_audit WHERE source <> 'commands' GROUP BY source
    UNION ALL SELECT source, 'recycled', sum(container_count) FROM settled WHERE action = 'recycled' GROUP BY source
    -- An odd revision takes the one before it back.
    UNION ALL SELECT source, 'rated', sum(1 - revision % 2 * 2) FROM rated WHERE leg = 0 GROUP BY source
    UNION ALL SELECT source, 'withdrawn', count(*) FROM withdrawn WHERE state <> 'set_aside' GROUP BY source
    UNION ALL SELECT source, 'waiting', count(*) FROM usage GROUP BY source
    UNION ALL SELECT source, 'waiting', -sum(1 - revision % 2 * 2) FROM rated WHERE leg = 0 GROUP BY source
    UNION ALL SELECT source, 'waiting', -count(*) FROM withdrawn WHERE state = 'backed_out' GROUP BY source
    UNION ALL SELECT source, 'waiting', -count(*) FROM suspense
              WHERE stage = 'charge' AND record_type IS DISTINCT FROM 'command' GROUP BY source
    UNION ALL SELECT source, 'suspended', count(*) FROM suspense
              WHERE record_type IS DISTINCT FROM 'command' GROUP BY source
    UNION ALL SELECT source, 'duplicate', count(*) FROM duplicate GROUP BY source
    UNION ALL SELECT source, 'filtered', count(*) FROM filtered GROUP BY source
    UNION ALL SELECT source, 'matched', count(*) FROM matched GROUP BY source
    UNION ALL SELECT source, 'merged', count(*) FROM merged GROUP BY source
    UNION ALL SELECT source, 'held', count(*) FROM held GROUP BY source
    UNION ALL SELECT source, 'held', count(*) FROM awaiting WHERE NOT decided GROUP BY source),
by_source AS (
    SELECT source,
           coalesce(sum(n) FILTER (class = 'records'), 0) AS records,
           coalesce(sum(n) FILTER (class = 'containers'), 0) AS containers,
           coalesce(sum(n) FILTER (class = 'recycled'), 0) AS recycled,
           coalesce(sum(n) FILTER (class = 'rated'), 0) AS rated,
           coalesce(sum(n) FILTER (class = 'waiting'), 0) AS waiting,
           coalesce(sum(n) FILTER (class = 'suspended'), 0) AS suspended,
           coalesce(sum(n) FILTER (class = 'duplicate'), 0) AS duplicate,
           coalesce(sum(n) FILTER (class = 'filtered'), 0) AS filtered,
           coalesce(sum(n) FILTER (class = 'matched'), 0) AS matched,
           coalesce(sum(n) FILTER (class = 'merged'), 0) AS merged,
           coalesce(sum(n) FILTER (class = 'held'), 0) AS held,
           coalesce(sum(n) FILTER (class = 'withdrawn'), 0) AS withdrawn
    FROM counted WHERE source <> 'commands' AND source NOT IN (SELECT source FROM "grant")
    GROUP BY ROLLUP (source))
SELECT *, containers + recycled - rated - waiting - suspended - duplicate - filtered - matched - merged - held
       - withdrawn AS difference
FROM by_source ORDER BY source NULLS LAST;
