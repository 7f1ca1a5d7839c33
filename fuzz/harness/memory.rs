//! How much memory an input makes the code hold, counted for each thread.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

/// Counts what is held, and leaves the rest to the system.
struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST_HELD: Cell<isize> = const { Cell::new(0) };
}

fn hold(bytes: usize) {
    let held = HELD.get().wrapping_add_unsigned(bytes);
    HELD.set(held);
    MOST_HELD.set(MOST_HELD.get().max(held));
}

fn let_go(bytes: usize) {
    HELD.set(HELD.get().wrapping_sub_unsigned(bytes));
}

// SAFETY: everything is the system's allocator's; the counts beside it touch no memory of the caller, and cells without a
// destructor can be reached at any time of a thread's life.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        hold(layout.size());
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        let_go(layout.size());
        // SAFETY: the pointer came from `alloc` above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        hold(size);
        let_go(layout.size());
        // SAFETY: the pointer came from `alloc` above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// What `act` gives. It may hold so many bytes at a time, besides what was held before.
pub fn bounded<T>(bytes: usize, act: impl FnOnce() -> T) -> T {
    let before = HELD.get();
    MOST_HELD.set(before);
    let result = act();
    let most = MOST_HELD.get() - before;
    assert!(
        most <= isize::try_from(bytes).unwrap_or(isize::MAX),
        "{most} bytes were held, of at most {bytes}"
    );
    result
}
