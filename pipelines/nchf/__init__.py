"""Nchf, the charging interface of 5G: JSON over HTTP/2 on one side, columns of requests on the other."""
