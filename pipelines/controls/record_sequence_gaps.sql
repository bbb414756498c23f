-- Record sequence gaps: numbers of a node's own record sequence that have not come.
--
-- Mediation keeps them as records come, across files and runs; a late record closes its gap.
-- kind: finding        tolerance: zero
--
-- node         network element
-- first, last  the numbers that are missing, as the node counts: last below first means that it wrapped
-- difference   how many, or 1 where it wrapped
SELECT node, "first", "last", greatest("last" - "first" + 1, 1) AS difference
FROM sequence_gap ORDER BY node, "first";
