"""The runner and the library kernels, in the kernel language. Python does not call them."""
