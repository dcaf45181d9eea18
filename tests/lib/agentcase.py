"""A worker of a test's own, against a master of ours: tests/flow/test_isolation.py, test_trees.py, test_veto.py, test_cgroup.py."""
import os
import unittest

from fakemaster import Bench


class AgentCase(unittest.TestCase):
    def connect(self, *options, base=None, **env):
        self.b = b = Bench(options=options, base=base, env=env)
        self.addCleanup(b.__exit__)
        return b.connect()

    def work(self, *names):
        return os.path.join(os.path.realpath(self.b.worker.work), *names)
