"""Contracts for families and strategies of your own: ``from nas.testing import FamilyContract, StrategyContract``."""

from nas.testing.families import FamilyContract as FamilyContract
from nas.testing.strategies import StrategyContract as StrategyContract
