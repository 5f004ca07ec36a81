# Every sandbox of a template begins as a copy of one running kernel, generators of random numbers included.
# What reads /dev/urandom is safe, for the sandbox gets fresh entropy before anything runs in it; a generator that
# lives in this process is not. So the first cell in a sandbox seeds those anew. A sandbox is known by its host
# name, which is its id; one that was paused keeps it, and so goes on with the numbers that it had.
def _install():
    import os
    import random
    import sys

    seeded_in = os.uname().nodename

    def reseed_after_restore():
        nonlocal seeded_in
        here = os.uname().nodename
        if here == seeded_in:
            return
        seeded_in = here
        random.seed()
        if "numpy.random" in sys.modules:
            sys.modules["numpy.random"].seed()
        if "ssl" in sys.modules:
            sys.modules["ssl"].RAND_add(os.urandom(32), 32.0)

    get_ipython().events.register("pre_execute", reseed_after_restore)  # noqa: F821


_install()
del _install
