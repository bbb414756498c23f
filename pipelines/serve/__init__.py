"""Charging in real time: the node that answers, its front ends, and what runs behind them."""
