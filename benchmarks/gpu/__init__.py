"""Training on a GPU that is rented by the minute: the parts of `train_on_gpu.py`."""

import time

START = time.perf_counter()
"""When the program began: what is imported after this takes some of the minutes."""
