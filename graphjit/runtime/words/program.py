"""The words of the int64 array by which native code knows a program, and the entry's results."""

(
    ROWS,  # address of (kernel, table, begin, end) rows
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
    WORDS,
) = range(16)

IS_BUSY = -1
MISMATCH = -2
