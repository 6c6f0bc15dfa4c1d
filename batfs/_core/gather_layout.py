"""Where the parameters, numbers and answers of ``gather`` stand: places in an int64 and a float64 buffer."""

from __future__ import annotations

# places in the parameters: counts first, then addresses of buffers
HOSTS, UNIFORM, FLOWS, WITH_FLOPS, RESOURCES = (
    0,
    1,
    2,
    3,
    4,
)  # numbers of executors, of those in the matrix, ...
KINDS, WIDTH, OUT, INTO, BOTH = 5, 6, 7, 8, 9  # kinds of hosts, and widths of the tables of links
EPOCH, KEY, COUNT = 10, 11, 12  # count of calls; answers: the missing core's key, the number of rows
A_HOSTS, A_PLACES, A_SOURCES, A_DESTINATIONS, A_VOLUMES, A_FLOPS = 13, 14, 15, 16, 17, 18
A_KIND, A_TABLE, A_ROWS, A_LENGTHS, A_NUMBERED, A_LATENCIES = 19, 20, 21, 22, 23, 24
A_OUT, A_INTO, A_BOTH, A_FATPIPE, A_SPEEDS = 25, 26, 27, 28, 29
A_SEEN, A_PLACE, A_RESOURCES, A_WEIGHTS = 30, 31, 32, 33
DISTINCT = 34  # whether all executors are on different hosts, for sure
A_CAPACITIES = 35
# even I/O: on how many storages (they come last; 0: the flows are given), whether written and read
STORAGES, WRITTEN, READ, A_AMOUNTS = 36, 37, 38, 39
# whether HOSTS holds resource ids, and the table of their hosts
MAPPED, A_HOST_OF = 40, 41
# what all pairs of a matrix add to each link: four numbers of each; and where runs of hosts of one kind begin
A_COUNTS, A_RUNS = 42, 43
PARAMETERS = 44
# places in the numbers: the uniform volume in, the answers out, the flops of each executor in the matrix
VOLUME, LATENCY, LATENCY_VOLUME, BOUND, REACH, FLOPS = 0, 1, 2, 3, 4, 5
NUMBERS = 6

# what WITH_FLOPS says: none, those of the buffer, the same for each in the matrix
NO_FLOPS, EACH_ITS_OWN, ALL_THE_SAME = 0, 1, 2

DONE, MISSING, SELF = 0, 1, 2
