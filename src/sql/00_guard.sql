\echo Use "CREATE EXTENSION anomaly_detect" to load this file. \quit

