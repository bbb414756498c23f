-- Roll-forward in total: opening + top-ups + grants + adjustments - charges - expiry = closing.
--
-- As roll_forward_accounts.sql, added up over all accounts, by unit and currency. Differences are added up without
-- sign, account by account, so that two errors cannot hide each other.
-- kind: law            tolerance: zero
--
-- unit, currency  what is counted, money in nano-units
-- balances        main balances and buckets
-- opening, top_ups, grants, adjustments, charges, expiry, expected, closing   as there
-- unequal         balances that differ
-- difference      must be zero
WITH moved AS (
    -- A balance is the state before the journal entry it names: later postings are of the next run.
    SELECT account_id, bucket_id, unit, currency, reason, sum(amount) AS amount
    FROM posting
    WHERE ledger_account IN ('balance', 'allowance')
      AND journal_position < coalesce((SELECT max(journal_position) FROM balance), 9223372036854775807)
    GROUP BY ALL),
rolled AS (
    SELECT account_id, bucket_id, unit, currency,
           coalesce(sum(amount) FILTER (reason = 'opening'), 0) AS opening,
           coalesce(sum(amount) FILTER (reason = 'top_up'), 0) AS top_ups,
           coalesce(sum(amount) FILTER (reason = 'grant'), 0) AS grants,
           coalesce(sum(amount) FILTER (reason NOT IN ('opening', 'top_up', 'grant', 'charge', 'expiry')), 0)
               AS adjustments,
           coalesce(-sum(amount) FILTER (reason = 'charge'), 0) AS charges,
           coalesce(-sum(amount) FILTER (reason = 'expiry'), 0) AS expiry,
           coalesce(sum(amount), 0) AS expected
    FROM moved GROUP BY account_id, bucket_id, unit, currency),
closing AS (
    SELECT account_id, bucket_id, unit, currency, sum(amount) AS closing FROM balance GROUP BY ALL),
accounts AS (
    SELECT coalesce(r.unit, c.unit) AS unit, coalesce(r.currency, c.currency) AS currency,
           coalesce(opening, 0) AS opening, coalesce(top_ups, 0) AS top_ups, coalesce(grants, 0) AS grants,
           coalesce(adjustments, 0) AS adjustments, coalesce(charges, 0) AS charges, coalesce(expiry, 0) AS expiry,
           coalesce(expected, 0) AS expected, coalesce(closing, 0) AS closing,
           coalesce(expected, 0) - coalesce(closing, 0) AS difference
    FROM rolled r FULL JOIN closing c
         ON c.account_id = r.account_id AND c.bucket_id IS NOT DISTINCT FROM r.bucket_id AND c.unit = r.unit
            AND c.currency IS NOT DISTINCT FROM r.currency)
SELECT unit, currency, count(*) AS balances, sum(opening) AS opening, sum(top_ups) AS top_ups, sum(grants) AS grants,
       sum(adjustments) AS adjustments, sum(charges) AS charges, sum(expiry) AS expiry, sum(expected) AS expected,
       sum(closing) AS closing, count(*) FILTER (difference <> 0) AS unequal, sum(abs(difference)) AS difference
FROM accounts GROUP BY unit, currency ORDER BY unit, currency;
