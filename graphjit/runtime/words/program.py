"""The words of the int64 arrays by which native code knows a program and its rows.

Also the results of the entry that are not the number of a row.
"""

(
    ROWS,  # address of the rows
    BEGIN,  # first row
    END,  # row after the last
    STATUS,  # address of the status word
    SLOTS,  # address of this call's data pointers and floats
    PATCHES,  # address of (destination, slot, offset) triples
    PATCHES_END,  # number of triples
    ARRAYS,  # number of arrays among the arguments
    ARGUMENTS,  # number of arguments: arrays, then floats
    ARRAY_TYPE,  # address of the type object of arrays
    FLOAT_TYPE,  # address of the type object of floats
    SAVE_THREAD,  # PyEval_SaveThread, or 0 to keep the GIL
    RESTORE_THREAD,  # PyEval_RestoreThread
    MAKE_INT,  # PyLong_FromLongLong
    BUSY,  # 1 while a call is in progress
    POOL,  # address of the pool of threads, or 0
    TRIALS,  # calls that are still to be timed before the work is shared
    RUNS,  # calls that came to their end
    WORDS,
) = range(19)

IS_BUSY = -1
MISMATCH = -2

(
    KERNEL,  # address of the kernel
    TABLE,  # address of its arguments
    FIRST,  # its range
    LAST,
    CHUNK,  # steps of the range that a thread takes at a time, or 0 not to share
    SHORTEST,  # nanoseconds of the fastest trial
    ROW_WORDS,
) = range(7)
