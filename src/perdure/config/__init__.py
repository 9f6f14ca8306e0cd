"""Configuration files: text in, frozen values out, every error with line and column. Effects: none."""

from perdure.config._classes import AppliedMigration as AppliedMigration
from perdure.config._classes import Plan as Plan
from perdure.config._classes import WorkerClasses as WorkerClasses
from perdure.config._classes import plan as plan
from perdure.config._elsewhere import KNOWN as KNOWN
from perdure.config._jsonc import read_jsonc as read_jsonc
from perdure.config._model import Config as Config
from perdure.config._model import ConfiguredLoader as ConfiguredLoader
from perdure.config._model import ConfiguredNamespace as ConfiguredNamespace
from perdure.config._model import ConfiguredService as ConfiguredService
from perdure.config._model import Migration as Migration
from perdure.config._model import Rename as Rename
from perdure.config._model import Rule as Rule
from perdure.config._toml import read_toml as read_toml
from perdure.config._tree import Node as Node
from perdure.config._tree import Place as Place
from perdure.config._variables import read_variables as read_variables
from perdure.config._worker import read_config as read_config
