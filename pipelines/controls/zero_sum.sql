-- Zero sum: the postings of every movement sum to zero, per unit and currency.
--
-- Proves law 5. A movement is what one usage event or one command moved; each leg takes from one account of the book
-- and gives to another.
-- kind: law            tolerance: zero
--
-- unit, currency  what is counted; currency only for money
-- postings        rows
-- movements       movements they belong to
-- unbalanced      movements that do not sum to zero
-- difference      what those are off by, added up without sign
WITH movements AS (
    SELECT unit, currency, movement_hi, movement_lo, count(*) AS postings, sum(amount) AS off
    FROM posting GROUP BY ALL)
SELECT unit, currency, sum(postings) AS postings, count(*) AS movements, count(*) FILTER (off <> 0) AS unbalanced,
       sum(abs(off)) AS difference
FROM movements GROUP BY unit, currency ORDER BY unit, currency;
