"""The scheduler of Kopanski & Rzadca, "Plan-based Job Scheduling for Supercomputers with Shared Burst Buffers"
(Euro-Par 2021), rebuilt from a description of its rules, quirks included, so that its published table can be
reproduced. ``docs/background/kopanski.md`` tells the experiment.
"""
