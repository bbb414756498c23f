-- Charged in real time: every unit that a request reported, or had debited, was charged once, or set aside.
--
-- Proves that requests and charges say the same. Requests are rows of table "grant", those that were refused too; what
-- was used is charged whatever the answer was. Units that were only granted, priced or given back are not counted.
-- kind: law            tolerance: zero
--
-- source        front end
-- unit          what is counted
-- requests      requests that reported or debited units
-- units_in      units that they reported or debited
-- rated         units charged
-- suspended     units set aside by charging
-- difference    must be zero
WITH moved AS (
    SELECT source, unit, count(*) AS requests, sum(used) AS units_in, 0 AS rated, 0 AS suspended FROM "grant"
    WHERE used > 0 GROUP BY ALL
    UNION ALL SELECT source, unit, count(*), sum(granted), 0, 0 FROM "grant"
              WHERE kind = 'event' AND action = 'direct_debiting' AND used IS NULL AND result_code = 2001
              AND granted > 0 GROUP BY ALL
    UNION ALL SELECT source, unit, 0, 0, sum(quantity), 0 FROM rated
              WHERE leg = 0 AND source IN (SELECT source FROM "grant") GROUP BY ALL
    UNION ALL SELECT source, unit, 0, 0, 0, sum(quantity) FROM suspense
              WHERE record_type IS DISTINCT FROM 'command' AND source IN (SELECT source FROM "grant") GROUP BY ALL)
SELECT source, unit, sum(requests) AS requests, sum(units_in) AS units_in, sum(rated) AS rated,
       sum(suspended) AS suspended, sum(units_in) - sum(rated) - sum(suspended) AS difference
FROM moved GROUP BY source, unit ORDER BY source, unit;
