"""Words of a matrix product's table: `c[m, n] (+)= sum over k of a[m, k] * b[k, n]`, batched."""

(
    A,  # addresses of the operands and the result
    B,
    C,
    ROWS,  # extents m, n, k
    COLUMNS,
    INNER,
    A_ROW,  # strides in elements
    A_INNER,
    B_INNER,
    B_COLUMN,
    C_ROW,
    C_COLUMN,
    ACCUMULATE,  # 1 to add to what is in c
    BATCH,  # extents of BATCH_DIMS batch dimensions
    _BATCH_1,
    _BATCH_2,
    _BATCH_3,
    A_BATCH,  # strides of the batch dimensions
    _A_BATCH_1,
    _A_BATCH_2,
    _A_BATCH_3,
    B_BATCH,
    _B_BATCH_1,
    _B_BATCH_2,
    _B_BATCH_3,
    C_BATCH,
    _C_BATCH_1,
    _C_BATCH_2,
    _C_BATCH_3,
    ROW_STEP,  # rows and columns that one step of the range stands for
    COLUMN_STEP,
    PRODUCT,  # address of the function that computes products
    LEFT_SPACE,  # elements of scratch for blocks of a, or 0 to read it as it lies
    RIGHT_SPACE,  # the same for b
    SCRATCH,
    WORDS,
) = range(36)

BATCH_DIMS = 4
#: Batch dimensions from the last to the first.
BATCH_ORDER = range(BATCH_DIMS - 1, -1, -1)
