//! The follower against the sample registry, round by round, with a clock of the tests.
