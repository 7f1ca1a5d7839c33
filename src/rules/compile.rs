//! Rule files to a rule set. Everything wrong in any file is told at once, each with its place.

use std::collections::HashMap;

use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use super::{
    condition::Condition,
    document::{Document, Node, Problems, Scalar, Value, did_you_mean},
    raw::{COUNT_FIELDS, COUNT_NEEDS, RawRule, RawTest, repaired},
    rule::{Rule, RuleSet, RuleTest},
    test_language::{self, Expectation, ScriptError},
};
use crate::{
    detect::{
        Count, Detector, ParameterError,
        count::ENTRIES_MAX,
        counting,
        settings::{LEARNING, Parameter},
    },
    respond::Step,
};

/// The steps that a rule may name. In this version rules lead at most to throttle.
pub(super) const STEPS: [&str; 3] = ["observe", "alert", "throttle"];

/// The steps that later versions will know.
const LATER_STEPS: [&str; 3] = ["restrict", "suspend", "revoke"];

const LONGEST_ID: usize = 64;
const LONGEST_TITLE: usize = 200;
/// Far above any real set, and a finding names its rule by a u16.
const LIMIT_RULES: usize = 1000;

pub(super) fn compile(files: &[(String, String)]) -> Result<RuleSet, Problems> {
    let mut problems = Problems::default();
    let mut rules = Vec::new();
    let mut places: HashMap<String, String> = HashMap::new();
    for (name, text) in files {
        match Document::parse(name, text) {
            Ok(document) => {
                let mut file = File { document: &document, problems: Problems::of_file(name) };
                file.rules(&mut rules, &mut places);
                problems.extend(file.problems);
            }
            Err(unreadable) => problems.extend(unreadable),
        }
    }
    problems.or(())?;
    rules.sort_by(|a: &Rule, b| a.id.cmp(&b.id));
    let all: Vec<_> = rules.iter().map(|rule| format!("{}={}", rule.id, rule.version)).collect();
    let version = short_hash(&all.join("\n"));
    Ok(RuleSet::of(rules, version))
}

/// A file that is being compiled.
struct File<'d> {
    document: &'d Document,
    problems: Problems,
}

impl File<'_> {
    fn rules(&mut self, rules: &mut Vec<Rule>, places: &mut HashMap<String, String>) {
        let root = &self.document.root;
        let elements = root.elements();
        if elements.is_empty() {
            self.problems.add(root.place, "", format!("{} must be a list of rules", root.shown()));
        }
        for (index, node) in elements.iter().enumerate() {
            let path = format!("[{index}]");
            if rules.len() >= LIMIT_RULES {
                self.problems.add(node.place, path, format!("more than {LIMIT_RULES} rules"));
                return;
            }
            if let Some(id) = node.get("id").filter(|id| id.text().is_some()) {
                let here = format!("{}:{}", self.document.name, id.place.line);
                if let Some(first) = places.insert(id.text().unwrap_or_default().to_owned(), here) {
                    let message = format!("{} is the id of another rule, at {first}", id.shown());
                    self.problems.add(id.place, format!("{path}.id"), message);
                }
            }
            let rule = self.rule(node, &path);
            let counts = |rule: &&Rule| matches!(rule.detector, Detector::Count(_));
            if rule.iter().any(|rule| counts(&rule))
                && rules.iter().filter(counts).count() >= counting::RULES_MAX
            {
                let message = format!("more than {} rules with detector count", counting::RULES_MAX);
                self.problems.add(node.place_of("detector"), format!("{path}.detector"), message);
                continue;
            }
            rules.extend(rule);
        }
    }

    fn rule(&mut self, node: &Node, path: &str) -> Option<Rule> {
        if let Some(raw) = node.read(path, &mut self.problems) {
            return self.parts(node, path, raw);
        }
        // It is no rule, and what can be read of it may be wrong as well.
        let rest = repaired(node, path, &self.problems)?;
        let raw = rest.read(path, &mut self.problems)?;
        self.parts(&rest, path, raw);
        None
    }

    fn parts(&mut self, node: &Node, path: &str, raw: RawRule) -> Option<Rule> {
        // Each part is looked at, whatever came of the others, so that all problems are told.
        self.text(node, path, "id", &raw.id, is_kebab(&raw.id), "1 to 64 of a-z, 0-9 and single dashes");
        let told = !raw.title.trim().is_empty() && raw.title.chars().count() <= LONGEST_TITLE;
        self.text(node, path, "title", &raw.title, told, "1 to 200 characters");
        self.text(
            node,
            path,
            "runbook",
            &raw.runbook,
            is_page(&raw.runbook),
            "a path or a URL of a page (*.md, https://…)",
        );
        let detector = self.detector(node, path, &raw);
        let respond = self.respond(node, path, &raw.respond);
        let condition = raw.condition.as_deref().map(|text| self.condition(node, path, text));
        let tests = self.tests(node, path, &raw.tests, respond);
        let condition = match condition {
            Some(compiled) => Some(compiled?),
            None => None,
        };
        let (detector, respond) = (detector?, respond?);
        let version = short_hash(&meaning(&raw, &detector));
        Some(Rule {
            id: raw.id,
            title: raw.title,
            detector,
            condition,
            severity: raw.severity,
            respond,
            runbook: raw.runbook,
            tests,
            version,
        })
    }

    fn text(&mut self, node: &Node, path: &str, field: &str, value: &str, good: bool, wanted: &str) {
        if !good {
            let shown: String = value.chars().take(80).collect();
            let message = format!("\"{shown}\" must be {wanted}");
            self.problems.add(node.place_of(field), format!("{path}.{field}"), message);
        }
    }

    fn detector(&mut self, node: &Node, path: &str, raw: &RawRule) -> Option<Detector> {
        let name = raw.detector.as_str();
        if !Detector::NAMES.contains(&name) {
            let message = format!("\"{name}\" is not a detector; {}", did_you_mean(name, &Detector::NAMES));
            self.problems.add(node.place_of("detector"), format!("{path}.detector"), message);
            return None;
        }
        let (at, path_at, read) = if name == "count" {
            (node, path.to_owned(), self.count(node, path, raw)?)
        } else {
            self.refuse_fields(node, path, &COUNT_FIELDS, "is for the detector count");
            let Some(with) = node.get("with") else {
                self.problems.add(node.place, path, "\"with\" is missing".to_owned());
                return None;
            };
            let path_with = format!("{path}.with");
            let read = self.learning(with, &path_with, name)?;
            (with, path_with, read)
        };
        if let Err(ParameterError { field, message }) = read.validate() {
            self.problems.add(at.place_of(field), format!("{path_at}.{field}"), message);
        }
        Some(read)
    }

    /// A detector that compares with what it has learnt.
    fn learning(&mut self, with: &Node, path: &str, name: &str) -> Option<Detector> {
        if self.is_beyond_its_type(with, path, name) {
            return None;
        }
        match name {
            "volume.spike" => self.parameters(with, path, Detector::VolumeSpike),
            "place.network" => self.parameters(with, path, Detector::NewNetwork),
            "place.country" => self.parameters(with, path, Detector::NewCountry),
            "errors.refused" => self.parameters(with, path, Detector::RefusedShare),
            "breadth.addresses" => self.parameters(with, path, Detector::AddressFanOut),
            "breadth.networks" => self.parameters(with, path, Detector::NetworkFanOut),
            "cost.latency" => self.parameters(with, path, Detector::SlowForRoute),
            "cost.size" => self.parameters(with, path, Detector::LargeForRoute),
            "records.unreadable" => self.parameters(with, path, Detector::UnreadableShare),
            _ => None,
        }
    }

    /// Tells the range of a number that its field's type cannot hold: reading it would tell the type's.
    fn is_beyond_its_type(&mut self, with: &Node, path: &str, name: &str) -> bool {
        let known = LEARNING.iter().find(|learning| learning.name == name);
        let mut is_beyond = false;
        for Parameter { name, least, most, .. } in known.map(|learning| learning.numbers).unwrap_or_default()
        {
            let node = with.get(name);
            if let Some(Value::Scalar(Scalar::Integer(value))) = node.map(|node| &node.value)
                && u32::try_from(*value).is_err()
            {
                let message = format!("{value} must be from {least} to {most}");
                self.problems.add(with.place_of(name), format!("{path}.{name}"), message);
                is_beyond = true;
            }
        }
        is_beyond
    }

    fn count(&mut self, node: &Node, path: &str, raw: &RawRule) -> Option<Detector> {
        let instead = COUNT_FIELDS.join(", ");
        self.refuse_fields(node, path, &["with"], &format!("is for other detectors; count has {instead}"));
        let given = [raw.matches.is_some(), raw.over.is_some(), raw.more_than.is_some()];
        for (field, _) in COUNT_NEEDS.into_iter().zip(given).filter(|(_, is_given)| !is_given) {
            // A field with nothing behind it is missing, too.
            self.problems.add(node.place_of(field), path, format!("\"{field}\" is missing"));
        }
        // An empty list would say "nothing" and mean "anything".
        for (field, list) in node.get("match").map(Node::entries).unwrap_or_default() {
            let length = list.elements().len();
            if matches!(list.value, Value::Sequence(_)) && !(1..=ENTRIES_MAX).contains(&length) {
                let message = format!("{} must have 1 to {ENTRIES_MAX} entries", list.shown());
                self.problems.add(list.place, format!("{path}.match.{}", field.name), message);
                return None;
            }
        }
        let (least, most, what) = Count::limits(raw.share_of, raw.distinct);
        let more_than =
            self.number(node, path, "more_than", raw.more_than?, format_args!("{least} to {most} {what}"))?;
        let most = Count::at_least_max(raw.distinct);
        let at_least = match raw.at_least {
            Some(n) => Some(self.number(node, path, "at_least", n, format_args!("1 to {most}"))?),
            None => None,
        };
        Some(Detector::Count(Count {
            matches: raw.matches.clone()?,
            over: raw.over?,
            more_than,
            share_of: raw.share_of,
            at_least,
            distinct: raw.distinct,
        }))
    }

    /// A number that its field can hold; the range proper is `Count`'s to check.
    fn number(
        &mut self,
        node: &Node,
        path: &str,
        field: &str,
        value: i64,
        range: std::fmt::Arguments<'_>,
    ) -> Option<u32> {
        let number = u32::try_from(value).ok();
        if number.is_none() {
            let message = format!("{value} must be from {range}");
            self.problems.add(node.place_of(field), format!("{path}.{field}"), message);
        }
        number
    }

    fn refuse_fields(&mut self, node: &Node, path: &str, fields: &[&str], why: &str) {
        for field in fields.iter().filter(|field| node.get(field).is_some()) {
            self.problems.add(node.place_of(field), format!("{path}.{field}"), why.to_owned());
        }
    }

    fn parameters<P: DeserializeOwned>(
        &mut self,
        with: &Node,
        path: &str,
        make: fn(P) -> Detector,
    ) -> Option<Detector> {
        with.read(path, &mut self.problems).map(make)
    }

    fn respond(&mut self, node: &Node, path: &str, name: &str) -> Option<Step> {
        let message = match name {
            "observe" => return Some(Step::Observe),
            "alert" => return Some(Step::Alert),
            "throttle" => return Some(Step::Throttle),
            later if LATER_STEPS.contains(&later) => {
                format!("{later} is not possible: rules lead at most to throttle in this version")
            }
            other => format!("\"{other}\" is not a step; {}", did_you_mean(other, &STEPS)),
        };
        self.problems.add(node.place_of("respond"), format!("{path}.respond"), message);
        None
    }

    fn condition(&mut self, node: &Node, path: &str, text: &str) -> Option<Condition> {
        match Condition::compile(text) {
            Ok(condition) => Some(condition),
            Err(error) => {
                let place = node
                    .get("where")
                    .map_or(node.place, |node| self.document.place_inside(node, error.line, error.column));
                self.problems.add(place, format!("{path}.where"), error.message);
                None
            }
        }
    }

    fn tests(&mut self, node: &Node, path: &str, raw: &[RawTest], respond: Option<Step>) -> Vec<RuleTest> {
        let nodes = node.get("tests").map(Node::elements).unwrap_or_default();
        let parsed = raw
            .iter()
            .zip(nodes)
            .enumerate()
            .map(|(index, (raw, node))| self.test(node, &format!("{path}.tests[{index}]"), raw, respond));
        let tests: Vec<_> = parsed.collect::<Vec<_>>().into_iter().flatten().collect();
        // Where a test could not be read, it may have been the one that is missed.
        if tests.len() == raw.len() {
            let mut missing = |wanted: &str| {
                let message = format!(
                    "no test expects {wanted}; a rule needs one that expects a step and one that expects nothing"
                );
                self.problems.add(node.place_of("tests"), format!("{path}.tests"), message);
            };
            if !tests.iter().any(|test| test.expect.is_positive()) {
                missing("a step");
            }
            if tests.iter().all(|test| test.expect.is_positive()) {
                missing("nothing");
            }
        }
        tests
    }

    fn test(&mut self, node: &Node, path: &str, raw: &RawTest, respond: Option<Step>) -> Option<RuleTest> {
        let script = test_language::parse(&raw.log);
        let expect = Expectation::parse(&raw.expect);
        let mut wrong = |field: &str, error: &ScriptError| {
            let place = node
                .get(field)
                .map_or(node.place, |node| self.document.place_inside(node, error.line, error.column));
            self.problems.add(place, format!("{path}.{field}"), error.message.clone());
        };
        if let Err(error) = &script {
            wrong("log", error);
        }
        if let Err(error) = &expect {
            wrong("expect", error);
        }
        let (script, expect) = (script.ok()?, expect.ok()?);
        for wanted in &expect.wanted {
            let message = if respond.is_some_and(|furthest| wanted.step > furthest) {
                format!(
                    "expects {}, but the rule leads at most to {}",
                    wanted.step.as_str(),
                    respond?.as_str()
                )
            } else if !script.keys().contains(&wanted.key) {
                format!("expects something of key {}, which has no traffic", wanted.key)
            } else {
                continue;
            };
            wrong("expect", &ScriptError { line: 1, column: 1, message });
        }
        let file = self.document.name.clone();
        Some(RuleTest { name: raw.name.clone(), script, expect, file, place: node.place })
    }
}

fn is_kebab(id: &str) -> bool {
    let word = |word: &str| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    id.len() <= LONGEST_ID && id.split('-').all(word)
}

fn is_page(runbook: &str) -> bool {
    let markdown = std::path::Path::new(runbook).extension().is_some_and(|extension| extension == "md");
    markdown || runbook.starts_with("https://") || runbook.starts_with("http://")
}

/// What a rule does, without what it is called, where it is explained and how it is tested.
fn meaning(raw: &RawRule, detector: &Detector) -> String {
    let condition = raw.condition.as_deref().unwrap_or_default().trim();
    format!("{}\n{detector:?}\n{condition}\n{}\n{}", raw.id, raw.severity.as_str(), raw.respond)
}

fn short_hash(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    format!("{:02x}{:02x}", digest[0], digest[1])
}

#[cfg(test)]
mod tests;
