//! What the process must not leave behind: no core dump, no panic message with data in it.

/// Turns core dumps off, and lets a panic tell where it happened but not what it held: a message may quote a record.
pub fn keep() {
    // SAFETY: both calls take plain integers and a pointer to a value that lives across the call.
    #[allow(unsafe_code)]
    unsafe {
        let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        libc::setrlimit(libc::RLIMIT_CORE, &raw const none);
        libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0);
    }
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(
            event = "panicked",
            thread = thread.name().unwrap_or("?"),
            place,
            "panicked; this is a bug in Keyhound"
        );
    }));
}
