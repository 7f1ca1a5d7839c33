//! Which build this is. `build.rs` of the crate sets revision and target.

/// The version of the crate.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The commit, with `-dirty` where tracked files were changed; `unknown` in debug builds and outside a git repository,
/// unless `KEYHOUND_REVISION` was set.
pub const REVISION: &str = env!("KEYHOUND_REVISION");
/// The target triple.
pub const TARGET: &str = env!("KEYHOUND_TARGET");
