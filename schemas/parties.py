"""What a front end says of the parties of each row of requests, before they become tokens; see `schemas.decoded`."""

PARTIES = ("served_number", "served_number_type", "served_imsi", "served_imei", "other_number", "other_number_type")
