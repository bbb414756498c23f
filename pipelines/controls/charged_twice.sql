-- Charged twice: CDRs that were charged, of time for which online usage was reported after all.
--
-- A container is charged when its session is closed or its patience over; reports that come later than that cover what
-- is charged already. Nothing is taken back by itself: back the delivery out, or adjust.
-- kind: finding        tolerance: zero
--
-- event_id                 the charge
-- session_hi, session_lo   key of the online session that reported the same usage
-- online_event             the report
-- difference               units that were charged from the CDR
WITH reports AS (
    SELECT event_id AS online_event, session_hi, session_lo, charging_id, gateway_address, service_id, rating_group,
           used_since_us, event_time_us AS reported_us
    FROM "grant" WHERE used > 0 AND charging_id IS NOT NULL AND used_since_us IS NOT NULL)
SELECT r.event_id, o.session_hi, o.session_lo, o.online_event, r.source, r.file_id, r.record_offset, r.rating_group,
       r.quantity AS difference
FROM rated_current r JOIN reports o ON o.charging_id = r.charging_id AND o.rating_group = r.rating_group
     AND r.event_time_us >= o.used_since_us AND coalesce(r.end_time_us, r.event_time_us) <= o.reported_us
     AND CASE WHEN o.gateway_address IS NOT NULL AND r.gateway_address IS NOT NULL
              THEN o.gateway_address = r.gateway_address ELSE o.service_id = r.service_id END
WHERE r.leg = 0 AND r.record_type IN ('pgw', 'chf') AND r.quantity > 0
  AND (r.event_id_hi, r.event_id_lo) NOT IN (SELECT (event_id_hi, event_id_lo) FROM matched_part)
ORDER BY r.quantity DESC, r.event_id;
