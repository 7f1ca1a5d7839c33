//! Values by index, in chunks: growing never copies what is there.

/// Values of one chunk.
const CHUNK: usize = 1024;

/// A list whose places are used again. It never shrinks, so that its owner bounds it by the number of values.
#[derive(Debug)]
pub(super) struct Slab<T> {
    chunks: Vec<Vec<T>>,
    free: Vec<u32>,
}

impl<T> Slab<T> {
    pub const fn new() -> Self {
        Self { chunks: Vec::new(), free: Vec::new() }
    }

    /// A place that is free, and was used before.
    pub fn take_free(&mut self) -> Option<u32> {
        self.free.pop()
    }

    /// Frees a place. What is in it stays until the place is used again.
    pub fn free(&mut self, index: u32) {
        self.free.push(index);
    }

    /// Appends a value.
    #[allow(clippy::cast_possible_truncation)] // bounded by the table's limit, a u32
    pub fn push(&mut self, value: T) -> u32 {
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let last = self.chunks.len() - 1;
        self.chunks[last].push(value);
        (last * CHUNK + self.chunks[last].len() - 1) as u32
    }

    /// Puts a value into a free place, or appends it.
    pub fn insert(&mut self, value: T) -> u32 {
        match self.take_free() {
            Some(index) => {
                *self.get_mut(index) = value;
                index
            }
            None => self.push(value),
        }
    }

    pub fn get(&self, index: u32) -> &T {
        &self.chunks[index as usize / CHUNK][index as usize % CHUNK]
    }

    pub fn get_mut(&mut self, index: u32) -> &mut T {
        &mut self.chunks[index as usize / CHUNK][index as usize % CHUNK]
    }

    /// Every value, those in free places too.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.chunks.iter_mut().flatten()
    }

    /// Bytes that it holds, free room included.
    pub fn bytes(&self) -> usize {
        self.chunks.len() * CHUNK * size_of::<T>() + self.free.capacity() * size_of::<u32>()
    }
}
