"""Ringway's benchmark suite: the same work for Ringway and its peers, and honest figures from it.

Read in this order: workloads (what is measured), peers (who), runner (how), stats and report (what is said).
"""
