-- Charged once: what was charged online and what CDRs say of the same usage, per closed session and rating group.
--
-- Usage that was charged online is class matched in CDRs, whatever they count; where they count otherwise, somebody's
-- counters are wrong, and where no CDR came at all, one was lost or is still under way. View online_usage has them all.
-- kind: finding        tolerance: zero
--
-- session_hi, session_lo   key of the online session
-- rating_group, service    what was used
-- since, until             time that its reports cover
-- online_quantity          units reported online
-- record_type, containers, cdr_quantity   CDRs that were matched with it, and units that they count
-- difference               units that CDRs count more
SELECT session_hi, session_lo, rating_group, service, account_id, since, until, online_quantity, record_type,
       containers, cdr_quantity, difference
FROM online_usage WHERE closed
ORDER BY abs(difference) DESC, since, session_hi, session_lo, rating_group;
