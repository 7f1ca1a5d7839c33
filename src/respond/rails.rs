//! What holds a step back before it is ever proposed: the key's own rails.

use super::{Guardrail, Step};
use crate::catalogue::{Entry, KeyClass};

/// The hardest automatic step of this version.
pub const CEILING: Step = Step::Throttle;

/// Whether the key may be in anybody's hands: the catalogue does not say that it is a server's.
pub fn may_be_public(entry: Option<&Entry>) -> bool {
    entry.is_none_or(|entry| entry.class != KeyClass::Server)
}

/// Whether the key ships in an app or a page: it is used from everywhere, so that no place is a stranger's.
pub fn is_in_apps(entry: Option<&Entry>) -> bool {
    entry.is_some_and(|entry| matches!(entry.class, KeyClass::Mobile | KeyClass::Browser))
}

/// The step that may be proposed, and the guardrail that made it less than what was wanted. `tells_a_stranger`: the
/// evidence is a new place, or errors that came from many networks. Without it, anybody who has a public key could get its honest
/// users refused.
pub fn within_rails(
    wanted: Step,
    mature: bool,
    tells_a_stranger: bool,
    entry: Option<&Entry>,
) -> (Step, Option<Guardrail>) {
    if !wanted.is_enforced() {
        return (wanted, None);
    }
    if entry.is_some_and(|entry| entry.protected) {
        return (Step::Alert, Some(Guardrail::Protected));
    }
    if !mature {
        return (Step::Alert, Some(Guardrail::Maturity));
    }
    if may_be_public(entry) && !tells_a_stranger {
        return (Step::Alert, Some(Guardrail::Origin));
    }
    if wanted > CEILING {
        return (CEILING, Some(Guardrail::Ceiling));
    }
    (wanted, None)
}

/// The rail that keeps an operator from a step on a key; `None` = he may take it. A key that ships in an app or a page is
/// on many devices: revoking it would cut off all of them. One that was never seen (`known`: it was) has no usual rate to
/// be throttled to.
pub fn refusal(step: Step, known: bool, entry: Option<&Entry>) -> Option<Guardrail> {
    match step {
        Step::Revoke if is_in_apps(entry) => Some(Guardrail::Class),
        Step::Throttle if !known => Some(Guardrail::Rate),
        _ => None,
    }
}
