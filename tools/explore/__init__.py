"""Explore whether the real engine keeps the law of reading, in every order of reading.

For those who change the machine; it is not part of the wheel.
"""
