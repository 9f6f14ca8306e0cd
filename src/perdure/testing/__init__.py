"""For tests: time, chance and a loop that a test owns. Effects: tasks, timers, threads."""

from perdure.testing._clock import SeededEntropy as SeededEntropy
from perdure.testing._clock import VirtualClock as VirtualClock
from perdure.testing._sim_loop import DeadlockError as DeadlockError
from perdure.testing._sim_loop import SimLoop as SimLoop
from perdure.testing._sim_loop import UnheardError as UnheardError
from perdure.testing._sim_loop import run_sim as run_sim
