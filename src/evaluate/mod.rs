//! Judging the judgement: the tests of rules, replays, scores.
//!
//! Drives the same engine as the daemon; that is what makes its answers honest. Never acts on anything.

pub mod replay;
pub mod rule_tests;
