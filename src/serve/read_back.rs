//! An operator's decision as another instance has published it, checked before it is taken in.
//!
//! Whoever may write to the topic decides which keys are served; nobody may do more by it. So nothing is taken as it
//! stands there: every field is checked or left out, and texts are cleaned as an operator's own are.

use std::time::Duration;

use super::operators::free_text;
use crate::{
    deliver::WallTime,
    event::{EventTime, KeyId},
    respond::{Decision, DecisionId, Mode, Rate, Step, SubjectRef, decision::Versions},
};

/// A decision takes about a kilobyte.
const BYTES_MAX: usize = 64 * 1024;
/// How far the clock of another instance may be ahead.
const AHEAD_MAX: Duration = Duration::from_hours(24);
/// The longest that an operator may decide for, a year, and a day for clocks.
const LENGTH_MAX: Duration = Duration::from_hours(366 * 24);
/// Characters of a reason, and of who gave it.
const REASON_MAX: usize = 500;
const RULE_MAX: usize = 160;
/// Other ids of the key.
const ALIASES_MAX: usize = 8;
/// Hex digits of a decision's id.
const ID_DIGITS: usize = 32;

/// Why a record of the topic is not taken in.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum NotTakenIn {
    /// Each instance makes the automatic ones by itself.
    #[error("it is automatic")]
    Automatic,
    #[error("it has {0} bytes; at most {BYTES_MAX} are read")]
    TooLarge(usize),
    #[error("it is not a decision that this version reads: {0}")]
    Unreadable(&'static str),
    #[error("its subject is not a key, or the record has another key than its subject")]
    NotAKey,
    #[error("its mode is {given}, and response.mode is {own}")]
    OtherMode { given: &'static str, own: &'static str },
    #[error("it has ended at {0}")]
    Ended(String),
    #[error("{field} is {value}; at most {most} is taken in")]
    OutOfRange { field: &'static str, value: String, most: String },
}

impl NotTakenIn {
    /// The label in metrics.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Automatic => "automatic",
            Self::TooLarge(_) => "too_large",
            Self::Unreadable(_) => "unreadable",
            Self::NotAKey => "not_a_key",
            Self::OtherMode { .. } => "other_mode",
            Self::Ended(_) => "ended",
            Self::OutOfRange { .. } => "out_of_range",
        }
    }

    /// Whether somebody should know: the others are everyday.
    pub const fn is_odd(&self) -> bool {
        !matches!(self, Self::Automatic | Self::Ended(_))
    }
}

/// What came of an operator's decision that was read, as metrics name it.
pub const OUTCOMES: [&str; 9] = [
    "taken_in",
    "known",
    "full",
    "ended",
    "other_mode",
    "not_a_key",
    "out_of_range",
    "too_large",
    "unreadable",
];

/// Reads a record of the topic of decisions that `instance` wrote. `mode` is the one in force here.
pub fn read(
    record_key: &[u8],
    value: &[u8],
    instance: &str,
    mode: Mode,
    now: WallTime,
) -> Result<Decision, NotTakenIn> {
    if value.len() > BYTES_MAX {
        return Err(NotTakenIn::TooLarge(value.len()));
    }
    let given: Decision =
        serde_json::from_slice(value).map_err(|_| NotTakenIn::Unreadable("its JSON is not that of one"))?;
    match given.cause.as_str() {
        "policy" => return Err(NotTakenIn::Automatic),
        "operator" => {}
        _ => return Err(NotTakenIn::Unreadable("its cause is not operator")),
    }
    if given.schema != Decision::SCHEMA {
        return Err(NotTakenIn::Unreadable("its schema is not keyhound.decision/1"));
    }
    if !is_id(&given.id) {
        return Err(NotTakenIn::Unreadable("its id is not dec_ and 32 hex digits"));
    }
    let subject = subject(&given.subject, record_key)?;
    let rate = rate(&given)?;
    let (as_of, expires_at) = times(&given, now)?;
    if given.mode != mode {
        return Err(NotTakenIn::OtherMode { given: given.mode.as_str(), own: mode.as_str() });
    }
    Ok(Decision {
        schema: given.schema,
        id: given.id,
        epoch: given.epoch,
        subject,
        handles: Vec::new(),
        step: given.step,
        mode,
        only: None,
        rate,
        as_of,
        expires_at,
        incident: String::new(),
        cause: given.cause,
        rule: free_text::one_line(&given.rule, RULE_MAX),
        rule_version: String::new(),
        reason: free_text::one_line(&given.reason, REASON_MAX),
        versions: Versions::default(),
        instance: instance.to_owned(),
    })
}

/// Whether `given`, which an operator gave to another instance, counts beside what is `known` on its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is known, or older than what is, or would lift what is not there.
    Known,
    /// It is the latest.
    Later,
    /// What is known was made by the rules meanwhile, and is milder: it takes the place of the decision of this epoch. At
    /// the instance that it was given to, nothing automatic follows a harder step either.
    Over(u64),
}

/// Compares a decision with what is known on its key.
pub fn standing(given: &Decision, known: Option<&Decision>) -> Standing {
    match known {
        None if given.step.is_enforced() => Standing::Later,
        Some(known) if known.id == given.id => Standing::Known,
        Some(known) if given.epoch > known.epoch => Standing::Later,
        Some(known) if known.cause == "policy" && known.step.is_enforced() && given.step > known.step => {
            Standing::Over(known.epoch)
        }
        None | Some(_) => Standing::Known,
    }
}

fn is_id(id: &DecisionId) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    id.0.strip_prefix("dec_").is_some_and(|id| id.len() == ID_DIGITS && id.bytes().all(is_digit))
}

fn subject(given: &SubjectRef, record_key: &[u8]) -> Result<SubjectRef, NotTakenIn> {
    let key: KeyId = given.id.parse().map_err(|_| NotTakenIn::NotAKey)?;
    let id = key.to_string();
    if given.kind != "key" || given.id != id || record_key != id.as_bytes() {
        return Err(NotTakenIn::NotAKey);
    }
    let aliases = given.aliases.iter().filter_map(|alias| alias.parse::<KeyId>().ok());
    let aliases = aliases.take(ALIASES_MAX).map(|alias| alias.to_string()).collect();
    Ok(SubjectRef { kind: given.kind.clone(), id, aliases, ..SubjectRef::default() })
}

/// A throttle needs a rate, and nothing else has one.
fn rate(given: &Decision) -> Result<Option<Rate>, NotTakenIn> {
    match (given.step, given.rate) {
        (Step::Observe | Step::Suspend | Step::Revoke, _) => Ok(None),
        (Step::Throttle, Some(rate)) if [rate.known, rate.unknown].iter().all(|rate| *rate >= 0.0) => {
            Ok(Some(rate))
        }
        (Step::Throttle, _) => Err(NotTakenIn::Unreadable("a throttle has a rate of at least 0")),
        (Step::Alert | Step::Restrict, _) => {
            Err(NotTakenIn::Unreadable("its step is none that an operator takes"))
        }
    }
}

/// When it was given and when it ends, if neither is out of all bounds: an epoch beyond them would be above every
/// decision to come.
fn times(given: &Decision, now: WallTime) -> Result<(String, String), NotTakenIn> {
    let parse = |text: &str, fault| EventTime::parse(text).ok_or(NotTakenIn::Unreadable(fault));
    let as_of = parse(&given.as_of, "as_of is no time")?;
    let expires_at = parse(&given.expires_at, "expires_at is no time")?;
    let ahead = EventTime(now.after(AHEAD_MAX).0);
    let latest = as_of.after(LENGTH_MAX);
    let out_of_range = |field, value, most| Err(NotTakenIn::OutOfRange { field, value, most });
    if given.epoch > ahead.0 {
        return out_of_range("epoch", given.epoch.to_string(), ahead.0.to_string());
    }
    if as_of > ahead {
        return out_of_range("as_of", as_of.rfc3339_millis(), ahead.rfc3339_millis());
    }
    if expires_at > latest {
        return out_of_range("expires_at", expires_at.rfc3339_millis(), latest.rfc3339_millis());
    }
    if given.step.is_enforced() && expires_at.0 <= now.0 {
        return Err(NotTakenIn::Ended(expires_at.rfc3339_millis()));
    }
    Ok((as_of.rfc3339_millis(), expires_at.rfc3339_millis()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::table::tests::{at, decision, key};

    const INSTANCE: &str = "00000000000000aa";

    fn given(step: Step) -> Decision {
        Decision {
            id: DecisionId(format!("dec_{:032x}", 7)),
            epoch: at(0).0,
            cause: "operator".to_owned(),
            rule: "command 3 by ana".to_owned(),
            ..decision(1, 1, step)
        }
    }

    fn read_value(value: &[u8], now: WallTime) -> Result<Decision, NotTakenIn> {
        read(key(1).to_string().as_bytes(), value, INSTANCE, Mode::Enforce, now)
    }

    fn read_decision(given: &Decision) -> Result<Decision, NotTakenIn> {
        read_value(&serde_json::to_vec(given).unwrap(), at(1))
    }

    #[test]
    fn what_an_operator_decided_is_taken_in_with_the_instance_it_was_given_to() {
        for step in [Step::Revoke, Step::Suspend, Step::Throttle, Step::Observe] {
            let given = given(step);
            let read = read_decision(&given).unwrap();
            assert_eq!((&read.id, read.epoch, read.step), (&given.id, given.epoch, step));
            assert_eq!(
                (read.rate, &read.as_of),
                (given.rate, &WallTime::parse(&given.as_of).unwrap().rfc3339())
            );
            assert_eq!((read.expires(), read.instance.as_str()), (given.expires(), INSTANCE));
            assert_eq!((read.rule.as_str(), read.subject.id), ("command 3 by ana", given.subject.id));
        }
        // A lift has ended as soon as it is given, and is one all the same.
        let lift = Decision { expires_at: given(Step::Observe).as_of, ..given(Step::Observe) };
        assert!(read_decision(&lift).is_ok());
    }

    #[test]
    fn what_a_hostile_record_says_is_checked_or_left_out() {
        type Change = fn(&mut Decision);
        let cases: [(&str, Change); 16] = [
            ("automatic", |given| given.cause = "policy".to_owned()),
            ("unreadable", |given| given.cause = "nobody".to_owned()),
            ("unreadable", |given| given.schema = "keyhound.decision/2".to_owned()),
            ("unreadable", |given| given.id.0 = "dec_\u{1b}[31m".to_owned()),
            ("unreadable", |given| given.as_of = "now".to_owned()),
            ("unreadable", |given| given.step = Step::Restrict),
            ("unreadable", |given| (given.step, given.rate) = (Step::Throttle, None)),
            ("unreadable", |given| {
                (given.step, given.rate) = (Step::Throttle, Some(Rate { known: -1.0, unknown: 1.0 }));
            }),
            ("not_a_key", |given| given.subject.id = key(2).to_string()),
            ("not_a_key", |given| given.subject.id = "sk_live_4242".to_owned()),
            ("not_a_key", |given| given.subject.kind = "fleet".to_owned()),
            ("out_of_range", |given| given.epoch = u64::MAX),
            ("out_of_range", |given| given.as_of = "2099-01-01T00:00:00Z".to_owned()),
            ("out_of_range", |given| given.expires_at = "2099-12-31T23:59:59.999Z".to_owned()),
            ("ended", |given| given.expires_at = at(1).rfc3339()),
            ("other_mode", |given| given.mode = Mode::Shadow),
        ];
        for (index, (label, change)) in cases.into_iter().enumerate() {
            let mut given = given(Step::Revoke);
            change(&mut given);
            let refused = read_decision(&given).unwrap_err();
            assert_eq!(refused.as_str(), label, "case {index}: {refused}");
            assert!(!refused.to_string().contains("sk_live"), "{refused}");
        }
        let large = [b" ".repeat(BYTES_MAX), b"{}".to_vec()].concat();
        let deep = [b"[".repeat(BYTES_MAX / 2), b"]".repeat(BYTES_MAX / 2)].concat();
        for (label, value) in [("too_large", large), ("unreadable", deep), ("unreadable", b"\xff".to_vec())] {
            let refused = read_value(&value, at(1)).unwrap_err();
            assert!(refused.as_str() == label && refused.is_odd(), "{refused}");
        }
    }

    #[test]
    fn an_operators_step_stands_above_a_milder_automatic_one_and_a_lift_ends_nothing_later() {
        let by_rules = |epoch, step| Decision { epoch, ..decision(1, epoch, step) };
        let of = |epoch, step| Decision { epoch, ..given(step) };
        let check = |given: Decision, known: Option<Decision>| standing(&given, known.as_ref());
        assert_eq!(check(of(5, Step::Revoke), None), Standing::Later);
        assert_eq!(check(of(5, Step::Observe), None), Standing::Known);
        assert_eq!(check(of(5, Step::Observe), Some(by_rules(4, Step::Throttle))), Standing::Later);
        assert_eq!(check(of(5, Step::Revoke), Some(by_rules(9, Step::Throttle))), Standing::Over(9));
        assert_eq!(check(of(5, Step::Observe), Some(by_rules(9, Step::Throttle))), Standing::Known);
        assert_eq!(check(of(5, Step::Throttle), Some(by_rules(9, Step::Throttle))), Standing::Known);
        let lifted = Decision { cause: "operator".to_owned(), ..by_rules(9, Step::Observe) };
        assert_eq!(check(of(5, Step::Revoke), Some(lifted)), Standing::Known);
        // It is published again where it took the place of another.
        let again = Decision { epoch: 10, ..given(Step::Revoke) };
        assert_eq!(standing(&again, Some(&of(5, Step::Revoke))), Standing::Known);
    }

    #[test]
    fn texts_lose_keys_and_control_characters_and_what_is_not_checked_is_left_out() {
        let hostile = Decision {
            reason: format!("sk_live_4eC39HqLyjWDarjtT1zdp7dc\u{1b}[31m {}", "word ".repeat(200)),
            rule: "command 3 by ana\nevent=forged".to_owned(),
            incident: "\u{7}".to_owned(),
            subject: SubjectRef {
                aliases: vec!["not an id".to_owned(), key(3).to_string()],
                name: "\u{202e}forged".to_owned(),
                ..given(Step::Revoke).subject
            },
            ..given(Step::Revoke)
        };
        let read = read_decision(&hostile).unwrap();
        assert!(
            read.reason.starts_with("[removed]") && read.reason.chars().count() == 500,
            "{}",
            read.reason
        );
        assert_eq!(read.rule, "command 3 by ana event=forged");
        assert_eq!((read.incident.as_str(), read.subject.name.as_str()), ("", ""));
        assert_eq!(read.subject.aliases, [key(3).to_string()]);
    }
}
