"""The tests tested: with any one safeguard taken out of the package, a named test must turn red.

Nothing in the package can be switched off; what is here takes pieces out of it from outside, in a process of its own.
"""
