//! `${NAME}` and `${NAME:-default}` in scalars. `$${` stands for `${` itself.

use crate::rules::document::{Node, Problems, Scalar, Value};

/// Replaces variables everywhere in the tree. A Kafka property that is nothing but `${NAME}` is left for the source,
/// which reads it late and never shows it; that the variable exists is checked here all the same.
pub(super) fn interpolate(
    root: &mut Node,
    environment: &dyn Fn(&str) -> Option<String>,
    problems: &mut Problems,
) {
    visit(root, "", false, environment, problems);
}

fn visit(
    node: &mut Node,
    path: &str,
    is_property: bool,
    environment: &dyn Fn(&str) -> Option<String>,
    problems: &mut Problems,
) {
    match &mut node.value {
        Value::Sequence(elements) => {
            for (index, element) in elements.iter_mut().enumerate() {
                visit(element, &format!("{path}[{index}]"), false, environment, problems);
            }
        }
        Value::Mapping(entries) => {
            let are_properties = path.ends_with(".properties");
            for (key, entry) in entries {
                let dot = if path.is_empty() { "" } else { "." };
                visit(entry, &format!("{path}{dot}{}", key.name), are_properties, environment, problems);
            }
        }
        Value::Scalar(Scalar::Text(text)) if text.contains("${") => match replaced(text, environment) {
            Err(message) => problems.add(node.place, path, message),
            Ok(_) if is_property && is_one_variable(text) => {}
            Ok(value) => {
                let written = std::mem::take(text);
                node.value = Value::Scalar(Scalar::Replaced { written, value });
            }
        },
        Value::Scalar(_) => {}
    }
}

fn is_one_variable(text: &str) -> bool {
    text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')).is_some_and(is_name)
}

fn is_name(text: &str) -> bool {
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    starts && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn replaced(text: &str, environment: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut result = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, tail) = rest.split_at(at);
        if let Some(before) = before.strip_suffix('$') {
            result.push_str(before);
            result.push_str("${");
            rest = &tail[2..];
            continue;
        }
        result.push_str(before);
        let end = tail.find('}').ok_or("\"${\" without \"}\"; write $${ for a literal one")?;
        let inside = &tail[2..end];
        let (name, default) = inside.split_once(":-").map_or((inside, None), |(name, d)| (name, Some(d)));
        if !is_name(name) {
            return Err(format!(
                "\"${{{name}}}\" does not name an environment variable; write $${{ for a literal one"
            ));
        }
        // As in a shell, `:-` also stands in for a variable that is empty.
        match (environment(name).filter(|value| default.is_none() || !value.is_empty()), default) {
            (Some(value), _) => result.push_str(&value),
            (None, Some(default)) => result.push_str(default),
            (None, None) => {
                return Err(format!(
                    "the environment variable {name} is not set; ${{{name}:-…}} gives a default"
                ));
            }
        }
        rest = &tail[end + 1..];
    }
    result.push_str(rest);
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::replaced;

    #[track_caller]
    fn check(text: &str, expected: Result<&str, &str>) {
        let environment = |name: &str| match name {
            "A" => Some("one".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        match (replaced(text, &environment), expected) {
            (Ok(value), Ok(expected)) => assert_eq!(value, expected, "{text}"),
            (Err(message), Err(expected)) => assert!(message.contains(expected), "{text}: {message}"),
            (result, _) => panic!("{text}: {result:?}"),
        }
    }

    #[test]
    fn variables_are_replaced_as_a_shell_would() {
        check("a ${A} b ${A}", Ok("a one b one"));
        check("${NONE:-two}", Ok("two"));
        check("${A:-two}", Ok("one"));
        check("${EMPTY}", Ok(""));
        check("${EMPTY:-two}", Ok("two"));
        check("$${A} $A", Ok("${A} $A"));
    }

    #[test]
    fn what_cannot_be_replaced_is_told() {
        check("${NONE}", Err("the environment variable NONE is not set"));
        check("${A", Err("without \"}\""));
        check("${a b}", Err("does not name an environment variable"));
    }
}
