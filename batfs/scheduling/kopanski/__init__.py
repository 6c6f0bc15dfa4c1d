"""The scheduler of Kopanski & Rzadca, rebuilt from a description of its rules, quirks included.

"Plan-based Job Scheduling for Supercomputers with Shared Burst Buffers", Euro-Par 2021. Its published table
can be reproduced with it: ``docs/background/kopanski.md`` tells the experiment.
"""
