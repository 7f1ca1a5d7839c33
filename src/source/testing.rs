//! A table of inputs in memory, for the tests of the sources.

use std::{cell::Cell, collections::HashMap};

use super::{InputName, Inputs};

#[derive(Default)]
pub struct Table {
    pub names: Vec<(u16, InputName)>,
    pub positions: HashMap<u32, u64>,
    pub ended: Vec<u32>,
    pub newest_ms: HashMap<u32, u64>,
    pub finished: HashMap<u32, u64>,
    /// How often it was looked through.
    pub looks: Cell<usize>,
}

impl Table {
    /// Keeps where an input goes on, as a commit does.
    pub fn commit(&mut self, input: u32, next: u64) {
        self.positions.insert(input, next);
    }

    /// Forgets what has ended, as a checkpoint does. The index of none is given again.
    pub fn checkpoint(&mut self) {
        for input in self.ended.drain(..) {
            self.names[input as usize].1.0.clear();
            self.positions.remove(&input);
        }
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
        self.ended.retain(|ended| *ended != index);
        (index, self.positions.get(&index).copied())
    }

    fn each_known(&self, source: u16, see: &mut dyn FnMut(u32, &str)) {
        self.looks.set(self.looks.get() + 1);
        let known = (0..).zip(&self.names).filter(|(_, (s, n))| *s == source && !n.0.is_empty());
        known.for_each(|(input, (_, name))| see(input, &name.0));
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
        if !self.ended.contains(&input) {
            self.ended.push(input);
        }
    }

    fn finished_at(&mut self, input: u32, size: u64) {
        self.finished.insert(input, size);
    }

    fn finished_size(&self, input: u32) -> Option<u64> {
        self.finished.get(&input).copied()
    }
}
