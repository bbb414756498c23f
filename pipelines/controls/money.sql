-- Money: what was charged is what was posted, movement by movement.
--
-- Proves the second half of law 3: charges = postings. Each rated event's charge is the revenue that its own movement
-- posted, and its uncollected part what that movement posted to `uncollected`.
-- kind: law            tolerance: zero
--
-- currency           ISO 4217
-- events             rated events
-- charged_nanos      their charges
-- revenue_nanos      what was posted as revenue, the tax that was posted from it included
-- uncollected_nanos  the part of the charges that no balance covered
-- posted_uncollected_nanos  what was posted to `uncollected`
-- unequal            movements whose own charge and postings differ
-- difference         nano-units by which movements differ, added up without sign
WITH charged AS (
    SELECT event_id_hi AS hi, event_id_lo AS lo, currency, count(*) FILTER (leg = 0) AS events,
           sum(charge_nanos) AS charged, sum(uncollected_nanos) AS uncollected
    FROM rated WHERE currency IS NOT NULL GROUP BY ALL),
posted AS (
    SELECT movement_hi AS hi, movement_lo AS lo, currency,
           coalesce(sum(amount) FILTER (ledger_account IN ('revenue', 'tax')), 0) AS revenue,
           -- Of a fee nothing is a charge, nor of a correction of one.
           CASE WHEN bool_or(ledger_account = 'fees' OR reason LIKE 'fee%') THEN 0
                ELSE coalesce(-sum(amount) FILTER (ledger_account = 'uncollected'), 0) END AS uncollected
    FROM posting WHERE unit = 'money' AND ledger_account IN ('revenue', 'tax', 'uncollected', 'fees') GROUP BY ALL),
movements AS (
    SELECT coalesce(c.currency, p.currency) AS currency, coalesce(c.events, 0) AS events,
           coalesce(c.charged, 0) AS charged, coalesce(p.revenue, 0) AS revenue,
           coalesce(c.uncollected, 0) AS uncollected, coalesce(p.uncollected, 0) AS posted_uncollected
    FROM charged c FULL JOIN posted p ON p.hi = c.hi AND p.lo = c.lo AND p.currency = c.currency)
SELECT currency, sum(events) AS events, sum(charged) AS charged_nanos, sum(revenue) AS revenue_nanos,
       sum(uncollected) AS uncollected_nanos, sum(posted_uncollected) AS posted_uncollected_nanos,
       count(*) FILTER (charged <> revenue OR uncollected <> posted_uncollected) AS unequal,
       sum(abs(charged - revenue) + abs(uncollected - posted_uncollected)) AS difference
FROM movements GROUP BY currency ORDER BY currency;
