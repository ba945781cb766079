"""Speed, memory and evidence runs; never part of the tests."""
