"""Words of a pooling's table.

The image is (samples, channels, height, width); values and window places are (samples, channels,
out_height, out_width). The backward pass has gradients in place of image and values.
"""

(
    IMAGE,  # addresses
    VALUES,
    INDEX,
    CHANNELS,
    HEIGHT,
    WIDTH,
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
    IMAGE_STRIDES,  # four each, in elements
    _IMAGE_1,
    _IMAGE_2,
    _IMAGE_3,
    VALUES_STRIDES,
    _VALUES_1,
    _VALUES_2,
    _VALUES_3,
    INDEX_STRIDES,
    _INDEX_1,
    _INDEX_2,
    _INDEX_3,
    WORDS,
) = range(29)
