//! What the process must not leave behind: no core dump, no panic message with data in it.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use crate::deliver::Seldom;

/// Turns core dumps off, and lets a panic tell where it happened but not what it held: a message may quote a record. Of
/// each place once a minute: whoever knows how to make a record that panics may send many.
pub fn keep() {
    // SAFETY: both calls take plain integers and a pointer to a value that lives across the call.
    #[allow(unsafe_code)]
    let failed = unsafe {
        let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        let limited = libc::setrlimit(libc::RLIMIT_CORE, &raw const none);
        let undumpable = libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0);
        (limited, undumpable) != (0, 0)
    };
    if failed {
        let error = std::io::Error::last_os_error();
        tracing::error!(
            event = "core_dumps_not_disabled",
            %error,
            "core dumps cannot be turned off: one would hold raw keys; turn them off for the service (ulimit -c 0)"
        );
    }
    let told: Mutex<BTreeMap<String, Seldom>> = Mutex::default();
    std::panic::set_hook(Box::new(move |panic| {
        let thread = std::thread::current();
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let count = {
            let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
            told.entry(place.clone()).or_default().add(1)
        };
        if let Some(count) = count {
            tracing::error!(
                event = "panicked",
                thread = thread.name().unwrap_or("?"),
                place,
                count,
                "panicked; this is a bug in Keyhound"
            );
        }
    }));
}
