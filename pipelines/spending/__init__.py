"""Spending limits: policy counters, who wants to know their statuses, and what they were told. Nchf and Sy share it."""
