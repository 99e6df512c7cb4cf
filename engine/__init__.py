"""Vedette's core: types, contracts, planning, the lane, and the runner that defines what is correct."""
