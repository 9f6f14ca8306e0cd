"""The pytest plugin: fixtures for people who test their objects.

Effects: none
"""
