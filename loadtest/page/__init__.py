"""The report of the benchmark: results.json in, a page out.

Data goes one way: results (what was measured) → canvas, plots, curves, goals, truth, tests, saturation, summary (what is said about it, as a
document of sections, tables and figures) → as_html, as_markdown (how it is written down).
"""
