"""Everything that takes long is a Run, in a register that every process of this user can read and write."""

from workbench.runs.process import Process
from workbench.runs.register import NativeWork, Register, Run, RunInfo

__all__ = ["NativeWork", "Process", "Register", "Run", "RunInfo"]
