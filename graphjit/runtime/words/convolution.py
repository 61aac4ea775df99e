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
    PLAIN,  # 1 if the image's planes are the columns: a kernel of 1 x 1 and nothing else
    COPY_WEIGHT,  # 1 if the matrix of weights must be copied to lie in rows without gaps
    COPY_RESULT,  # 1 if the planes of the result must be
    BY_OUTPUT,  # the weight's gradient: 1 if the range counts output channels, 0 for channels
    CHUNK,  # output rows laid out as columns at a time; for the image's gradient, channels
    COLUMNS_SIZE,  # elements of those columns
    PRODUCT,  # address of the function that computes matrix products
    SCRATCH,
    WORDS,
) = range(40)
