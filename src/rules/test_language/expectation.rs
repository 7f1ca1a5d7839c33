//! What should come of a script: `throttle a within 20s`, or `nothing`.

use std::time::Duration;

use super::{
    ScriptError,
    lexicon::{self, Word, words},
};
use crate::respond::Step;

/// What a test wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expectation {
    /// Empty: nothing may happen to any key.
    pub wanted: Vec<Wanted>,
}

/// A step that must come, and be the hardest that its key gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub step: Step,
    pub key: char,
    /// Counted from the start of the script's last block.
    pub within: Duration,
}

impl Expectation {
    /// Whether something must happen: a positive test.
    pub fn is_positive(&self) -> bool {
        !self.wanted.is_empty()
    }

    /// Parses `nothing`, or wants with commas between them.
    pub fn parse(text: &str) -> Result<Self, ScriptError> {
        if text.trim() == "nothing" {
            return Ok(Self::default());
        }
        let mut groups = vec![Vec::new()];
        for (index, line) in text.lines().enumerate() {
            for word in words(line, u32::try_from(index + 1).unwrap_or(u32::MAX)) {
                let bare = word.text.trim_end_matches(',');
                groups.last_mut().into_iter().for_each(|group| group.push(Word { text: bare, ..word }));
                if bare.len() < word.text.len() {
                    groups.push(Vec::new());
                }
            }
        }
        let wanted: Vec<_> = groups.iter().map(|group| read(group)).collect::<Result<_, _>>()?;
        if let Some(twice) =
            wanted.iter().enumerate().find(|(at, w)| wanted[..*at].iter().any(|v| v.key == w.key))
        {
            let message = format!("key {} stands twice", twice.1.key);
            return Err(ScriptError { line: 1, column: 1, message });
        }
        Ok(Self { wanted })
    }
}

fn read(words: &[Word<'_>]) -> Result<Wanted, ScriptError> {
    let form = "write \"throttle a within 20s\", \"alert a within 2m\", \"note a within 2m\" or \"nothing\"";
    let [step, key, within, limit] = words else {
        let (line, column) = words.first().map_or((1, 1), |word| (word.line, word.column));
        return Err(ScriptError { line, column, message: format!("not an expectation; {form}") });
    };
    let wanted = match step.text {
        "note" => Step::Observe,
        "alert" => Step::Alert,
        "throttle" => Step::Throttle,
        other => return Err(step.wrong(format!("\"{other}\" is not a step to expect; {form}"))),
    };
    let letter = lexicon::key(key.text)
        .ok_or_else(|| key.wrong(format!("\"{}\" is not a key; write one letter from a to z", key.text)))?;
    if within.text != "within" {
        return Err(within.wrong(format!("\"{}\" where \"within\" belongs; {form}", within.text)));
    }
    let limit = lexicon::duration(limit.text)
        .ok_or_else(|| limit.wrong(format!("\"{}\" is not a duration; write 20s or 2m", limit.text)))?;
    Ok(Wanted { step: wanted, key: letter, within: limit })
}
