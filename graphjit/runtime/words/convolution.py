"""Words of a convolution's table, the same for the convolution and its two gradients.

The image is (samples, channels, height, width), the weight (out_channels, channels / groups,
kernel_height, kernel_width), the result (samples, out_channels, out_height, out_width). One of the
three is computed from the others.
"""

(
    IMAGE,  # addresses
    WEIGHT,
    RESULT,
    SAMPLES,
    CHANNELS,
    HEIGHT,
    WIDTH,
    OUT_CHANNELS,
    OUT_HEIGHT,
    OUT_WIDTH,
    KERNEL_HEIGHT,
    KERNEL_WIDTH,
    STRIDE_HEIGHT,
    STRIDE_WIDTH,
    PADDING_HEIGHT,
    PADDING_WIDTH,
    DILATION_HEIGHT,
    DILATION_WIDTH,
    GROUPS,
    IMAGE_STRIDES,  # four each, in elements
    _IMAGE_1,
    _IMAGE_2,
    _IMAGE_3,
    WEIGHT_STRIDES,
    _WEIGHT_1,
    _WEIGHT_2,
    _WEIGHT_3,
    RESULT_STRIDES,
    _RESULT_1,
    _RESULT_2,
    _RESULT_3,
    BY_OUTPUT,  # the weight's gradient: 1 if the range counts output channels, 0 for channels
    SAMPLE_STEP,  # samples, channels and output rows whose columns are laid out at a time
    CHANNEL_STEP,
    ROW_STEP,
    PRODUCT,  # addresses of the functions that multiply matrices, and lay out columns
    GATHER,
    SCRATCH,
    # Where parts of the scratch begin, in bytes from its start; 0 for those that are not needed.
    WEIGHT_AT,  # a copy of the weights, if they do not lie in rows without gaps
    COLUMNS_AT,  # columns; not needed for a kernel of 1 x 1 and nothing else
    RESULT_AT,  # a copy of a group's planes of the result, if they have gaps
    SUMS_AT,  # sums of the weights' gradient
    LEFT_AT,  # what a matrix product copies of its factors
    RIGHT_AT,
    WORDS,
) = range(45)
