//! A table of inputs in memory, for the tests of the sources.

use std::collections::HashMap;

use super::{InputName, Inputs};

#[derive(Default)]
pub struct Table {
    pub names: Vec<(u16, InputName)>,
    pub positions: HashMap<u32, u64>,
    pub ended: Vec<u32>,
    pub newest_ms: HashMap<u32, u64>,
}

impl Table {
    /// Keeps where an input goes on, as a commit does.
    pub fn commit(&mut self, input: u32, next: u64) {
        self.positions.insert(input, next);
    }

    pub fn name(&self, input: u32) -> InputName {
        self.names[input as usize].1.clone()
    }
}

impl Inputs for Table {
    fn input(&mut self, source: u16, name: &InputName) -> (u32, Option<u64>) {
        let known = self.names.iter().position(|(s, n)| *s == source && n == name);
        let index = known.unwrap_or_else(|| {
            self.names.push((source, name.clone()));
            self.names.len() - 1
        });
        let index = u32::try_from(index).unwrap();
        (index, self.positions.get(&index).copied())
    }

    fn is_known(&self, source: u16, name: &InputName) -> bool {
        self.names.iter().any(|(s, n)| *s == source && n == name)
    }

    fn knows_any(&self, source: u16) -> bool {
        self.names.iter().any(|(s, _)| *s == source)
    }

    fn newest_ms(&self, input: u32) -> Option<u64> {
        self.newest_ms.get(&input).copied()
    }

    fn starts_at(&mut self, input: u32, next: u64) {
        self.positions.insert(input, next);
    }

    fn moved(&mut self, input: u32, _from: u64, to: u64) {
        self.positions.insert(input, to);
    }

    fn ended(&mut self, input: u32) {
        self.ended.push(input);
    }
}
