-- PGW over SGW: the two gateways that saw the same traffic counted the same octets, per bearer.
--
-- The PGW's records charge; the SGW's are its witness. A bearer that only the SGW reports was carried and not charged:
-- leakage. One that only the PGW reports may be roaming, or a lost file of the SGW.
-- kind: finding        tolerance: zero
--
-- gateway_address, charging_id, imsi_token   the bearer
-- first_seen      start of its earliest container
-- pgw_containers, sgw_containers   containers that each reported; duplicates and conflicts left out
-- pgw_octets, sgw_octets           octets up and down that each reported
-- difference      octets by which they differ, without sign; containers, when one of them reported nothing
WITH seen AS (
    -- UNION, not UNION ALL: an event that was recycled has one row for each time, all alike.
    SELECT record_type, file_id, record_offset, container_index, gateway_address, charging_id, imsi_token,
           event_time_us, uplink_octets, downlink_octets, merged_count FROM usage
           WHERE record_type IN ('pgw', 'sgw')
    UNION SELECT record_type, file_id, record_offset, container_index, gateway_address, charging_id, imsi_token,
           event_time_us, uplink_octets, downlink_octets, merged_count FROM filtered
           WHERE record_type IN ('pgw', 'sgw')
    UNION SELECT record_type, file_id, record_offset, container_index, gateway_address, charging_id, imsi_token,
           event_time_us, uplink_octets, downlink_octets, merged_count FROM held
           WHERE record_type IN ('pgw', 'sgw')
    UNION SELECT record_type, file_id, record_offset, container_index, gateway_address, charging_id, imsi_token,
           event_time_us, uplink_octets, downlink_octets, merged_count FROM matched
           WHERE record_type IN ('pgw', 'sgw')
    UNION SELECT record_type, file_id, record_offset, container_index, gateway_address, charging_id, imsi_token,
           event_time_us, uplink_octets, downlink_octets, merged_count FROM awaiting
           WHERE NOT decided AND record_type IN ('pgw', 'sgw')
    UNION SELECT record_type, file_id, record_offset, container_index, gateway_address, charging_id, imsi_token,
           event_time_us, uplink_octets, downlink_octets, merged_count FROM suspense
           WHERE record_type IN ('pgw', 'sgw') AND charging_id IS NOT NULL
             AND reason NOT IN ('key_conflict', 'overlapping_partial')),
bearers AS (
    SELECT gateway_address, charging_id, imsi_token, min(event_time_us) AS first_seen,
           coalesce(sum(merged_count) FILTER (record_type = 'pgw'), 0) AS pgw_containers,
           coalesce(sum(merged_count) FILTER (record_type = 'sgw'), 0) AS sgw_containers,
           coalesce(sum(coalesce(uplink_octets, 0) + coalesce(downlink_octets, 0))
                    FILTER (record_type = 'pgw'), 0) AS pgw_octets,
           coalesce(sum(coalesce(uplink_octets, 0) + coalesce(downlink_octets, 0))
                    FILTER (record_type = 'sgw'), 0) AS sgw_octets
    FROM seen GROUP BY gateway_address, charging_id, imsi_token)
SELECT *, CASE WHEN pgw_containers = 0 OR sgw_containers = 0 THEN greatest(abs(pgw_octets - sgw_octets),
                                                                           pgw_containers + sgw_containers)
               ELSE abs(pgw_octets - sgw_octets) END AS difference
FROM bearers
WHERE pgw_octets <> sgw_octets OR pgw_containers = 0 OR sgw_containers = 0
ORDER BY difference DESC, gateway_address, charging_id, imsi_token;
