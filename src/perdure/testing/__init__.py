"""For tests: a world with its own time, chance, loop and disk. Effects: disk, tasks, timers, threads."""

from perdure.testing._clock import SeededEntropy as SeededEntropy
from perdure.testing._clock import VirtualClock as VirtualClock
from perdure.testing._sim_loop import DeadlockError as DeadlockError
from perdure.testing._sim_loop import SimLoop as SimLoop
from perdure.testing._sim_loop import UnheardError as UnheardError
from perdure.testing._sim_loop import run_sim as run_sim
from perdure.testing._world import World as World
